"""A spec names itself and what is wrong."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steadyhand.contracts.conformance.sampling import draw
from steadyhand.contracts.errors import SpecError
from steadyhand.contracts.specs import ArraySpec, validate_arrays

JOINTS = ArraySpec(
    "joints", (2,), "float32", low=-1.0, high=(1.0, 2.0), unit="rad", names=("a", "b")
)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros(3, np.float32), r"'joints' must be float32\[2\], got float32\[3\]"),
        (np.zeros(2, np.float64), r"'joints' must be float32\[2\], got float64\[2\]"),
        (np.zeros((2, 1), np.float32), r"got float32\[2, 1\]"),
        (np.array([0, np.nan], np.float32), r"'joints' is not finite at index \[1\]"),
        (np.array([-np.inf, 0], np.float32), r"'joints' is not finite at index \[0\]"),
        (np.array([-1.5, 0], np.float32), "'joints' is below its range: -1.5 < -1.0"),
        (np.array([0, 2.5], np.float32), r"'joints' is above its range: 2.5 > \(1.0, 2.0\)"),
        (np.array([1.5, 0], np.float32), "'joints' is above its range"),
        ([0.0, 0.0], "got float64"),
        ("text", r"'joints' must be float32\[2\]"),
    ],
)
def test_what_does_not_fit_is_named(value, message):
    with pytest.raises(SpecError, match=message):
        JOINTS.validate(value)


def test_a_value_on_its_bounds_fits_and_is_not_copied():
    value = np.array([-1.0, 2.0], np.float32)
    assert JOINTS.validate(value) is value


@pytest.mark.parametrize("shape", [(0,), (3, -1)])
def test_a_spec_without_elements_is_refused(shape):
    with pytest.raises(SpecError, match="non-positive size"):
        ArraySpec("x", shape, "float32")


def test_element_names_must_fit_the_shape():
    with pytest.raises(SpecError, match="1 element names for shape"):
        ArraySpec("x", (2,), "float32", names=("a",))


def test_an_unknown_type_is_refused():
    with pytest.raises(TypeError):
        ArraySpec("x", (2,), "float33")


def test_the_size_in_bytes_is_that_of_the_array():
    for spec in (JOINTS, ArraySpec("i", (64, 64, 3), "uint8"), ArraySpec("s", (), "float64")):
        assert spec.nbytes == np.zeros(spec.shape, spec.dtype).nbytes


def test_missing_and_surplus_arrays_are_both_named():
    with pytest.raises(SpecError, match=r"observation: missing \['joints'\], unexpected \['x'\]"):
        validate_arrays({"joints": JOINTS}, {"x": np.zeros(2)}, "observation")


def test_arrays_come_back_in_the_order_of_the_specs():
    other = ArraySpec("other", (), "int64")
    given_arrays = {"other": np.array(1), "joints": np.zeros(2, np.float32)}
    checked = validate_arrays({"joints": JOINTS, "other": other}, given_arrays, "here")
    assert list(checked) == ["joints", "other"]


bounds = st.none() | st.floats(-5, -1)
specs = st.builds(
    lambda shape, dtype, low, high: ArraySpec(
        "x", tuple(shape), dtype, low=low, high=None if high is None else -high
    ),
    st.lists(st.integers(1, 3), max_size=3),
    st.sampled_from(["float32", "float64", "float16", "int64", "int8"]),
    bounds,
    bounds,
)


@settings(deadline=None)
@given(specs)
def test_any_spec_survives_json(spec):
    assert ArraySpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_bounds_and_names_of_elements_survive_json():
    assert ArraySpec.from_json(json.loads(json.dumps(JOINTS.to_json()))) == JOINTS


@settings(deadline=None)
@given(specs, st.integers(0, 2**32))
def test_a_drawn_value_fits_its_spec(spec, seed):
    spec.validate(draw(spec, np.random.default_rng(seed)))


@pytest.mark.parametrize(
    "spec",
    [
        JOINTS,
        ArraySpec("image", (8, 8, 3), "uint8"),
        ArraySpec("flag", (3,), "bool"),
        ArraySpec("choice", (), "int64", low=0, high=3),
        ArraySpec("half bounded", (100,), "float32", low=0.0),
        ArraySpec("narrow", (1000,), "float32", low=0.1, high=0.1000001),
    ],
)
def test_a_value_is_drawn_for_every_kind_of_spec(spec):
    for seed in range(5):
        spec.validate(draw(spec, np.random.default_rng(seed)))
