"""Arrays come back as they were, or with a clear refusal."""

import json
import struct

import numpy as np
import pytest

from steadyhand.contracts.errors import DataError
from steadyhand.store.tensors import read_tensors, write_tensors


@pytest.mark.parametrize(
    "array",
    [
        np.array(3.5, np.float32),  # came back as a vector of one
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(10)[::3],
        np.zeros((0, 3), np.float16),
        np.arange(3, dtype=">i4"),
        np.array([True, False]),
        np.array([np.nan, np.inf, -0.0]),
    ],
)
def test_any_array_comes_back_as_it_was(tmp_path, array):
    write_tensors(tmp_path / "x", {"a": array}, {})
    back = read_tensors(tmp_path / "x")[0]["a"]
    assert back.shape == array.shape
    assert back.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize(
    "array", [np.array([None]), np.array(["text"]), np.zeros(2, np.longdouble)]
)
def test_what_the_format_does_not_have_is_refused_and_writes_nothing(tmp_path, array):
    with pytest.raises(DataError, match=r"cannot hold \{'a': "):
        write_tensors(tmp_path / "x", {"a": array}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_reserved_name_is_refused_on_writing(tmp_path):
    """It was written, and the file could never be read again."""
    with pytest.raises(DataError, match="__metadata__"):
        write_tensors(tmp_path / "x", {"__metadata__": np.zeros(1)}, {})


def foreign_file(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def test_types_that_numpy_does_not_have_are_refused(tmp_path):
    for kind, shape in (("BF16", [2]), ("F8_E4M3", [4])):
        header = {"a": {"dtype": kind, "shape": shape, "data_offsets": [0, 4]}}
        foreign_file(tmp_path / "x", header, bytes(4))
        with pytest.raises(DataError, match=r"numpy cannot read.*float32"):
            read_tensors(tmp_path / "x")


def test_a_file_of_another_program_is_read(tmp_path):
    header = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
    }
    foreign_file(tmp_path / "x", header, struct.pack("<f", 2.5))
    tensors, metadata = read_tensors(tmp_path / "x")
    assert tensors["a"].tolist() == [2.5]
    assert metadata == {}
