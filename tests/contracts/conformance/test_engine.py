"""The kit passes an engine that checks its inputs and copies its outputs."""

from typing import ClassVar

import numpy as np
import pytest

from steadyhand.contracts.conformance.engine import check_engine
from steadyhand.contracts.errors import ConformanceError, SpecError
from steadyhand.contracts.specs import ArraySpec


class Double:
    """A graph that doubles, with one defect of choice."""

    input_specs: ClassVar = {
        "x": ArraySpec("x", (2,), "float32"),
        "picture": ArraySpec("picture", (2, 2), "uint8"),
    }
    output_specs: ClassVar = {"y": ArraySpec("y", (2,), "float32")}

    def __init__(self, defect=""):
        self.defect = defect
        self.precision = "bf8" if defect == "odd precision" else "fp32"
        self.y = np.zeros(2, np.float32)
        self.calls = 0

    def run(self, inputs):
        self.calls += 1
        for name, spec in self.input_specs.items():
            if self.defect == "checks nothing":
                break
            if name not in inputs:
                raise SpecError(name)
            spec.validate(inputs[name])
        x = np.resize(inputs.get("x", np.zeros(2)), 2).astype(np.float32)
        np.multiply(x, 2, out=self.y)
        if self.defect == "changes inputs":
            inputs["x"][...] = 0
        if self.defect == "wrong shape":
            return {"y": self.y[None].copy()}
        if self.defect == "not repeatable":
            return {"y": self.y + np.float32(self.calls)}
        return {"y": self.y if self.defect == "overwrites" else self.y.copy()}


def test_an_engine_that_keeps_the_contract_passes():
    check_engine(Double())


@pytest.mark.parametrize(
    ("defect", "violation"),
    [
        ("odd precision", "precision must be one of"),
        ("checks nothing", "input 'x' missing: must raise SpecError, raised nothing"),
        ("checks nothing", "input 'picture' of the wrong shape: must raise SpecError"),
        ("checks nothing", "input 'picture' of the wrong type: must raise SpecError"),
        ("changes inputs", "must not change its inputs"),
        ("wrong shape", "outputs must fit output_specs: raised SpecError"),
        ("not repeatable", "the same inputs must give the same bytes"),
        ("overwrites", "outputs must not be overwritten by the next run"),
    ],
)
def test_a_broken_rule_is_named(defect, violation):
    with pytest.raises(ConformanceError, match=violation):
        check_engine(Double(defect))
