"""The kit passes an environment that keeps the contract, and names what another one breaks."""

from typing import ClassVar

import numpy as np
import pytest

from steadyhand.contracts.conformance.environment import check_environment
from steadyhand.contracts.environment import Step
from steadyhand.contracts.errors import ConformanceError
from steadyhand.contracts.seeds import stream
from steadyhand.contracts.specs import ArraySpec


class Walk:
    """A point that walks, with one defect of choice."""

    task = "walk"
    task_version = 1
    step_period_s = 0.1
    observation_specs: ClassVar = {"place": ArraySpec("place", (2,), "float32")}
    action_spec = ArraySpec("action", (2,), "float32", low=-1.0, high=1.0)
    limit = 50

    def __init__(self, defect=""):
        self.defect = defect
        self.place = np.zeros(2, np.float32)
        self.steps = 0
        self.num_resets = 0
        self.is_closed = False

    def reset(self, seed, index):
        self.num_resets += 1
        keys = (seed, index, self.num_resets) if self.defect == "counts resets" else (seed, index)
        self.place = stream("walk", *keys).random(2).astype(np.float32)
        self.steps = 0
        return {"cluster": np.int64(1) if self.defect == "numpy fact" else 1}

    def observe(self):
        if self.defect == "observing walks":
            self.place = self.place + np.float32(0.25)
        if self.defect == "float64":
            return {"place": self.place.astype(np.float64)}
        return {"place": self.place if self.defect == "aliased" else self.place.copy()}

    def step(self, action):
        if self.defect == "walks on a bad action" and action.shape == (2,):
            self.place += np.float32(0.5)
        if self.defect != "no validation":
            action = self.action_spec.validate(action)
        self.place += np.ravel(action)[:2]
        self.steps += 1
        is_over = self.steps >= self.limit and self.defect != "endless"
        return Step(
            reward=float("nan") if self.defect == "NaN reward" else 0.5,
            terminated=is_over or self.defect == "both ends",
            truncated=self.defect == "both ends",
            is_success=False,
        )

    def close(self):
        if self.defect == "closes once" and self.is_closed:
            raise RuntimeError("closed already")
        self.is_closed = True


def test_an_environment_that_keeps_the_contract_passes():
    check_environment(Walk)


@pytest.mark.parametrize(
    ("defect", "violation"),
    [
        ("counts resets", r"must depend on \(seed, index\) only"),
        ("numpy fact", "a fact from reset.. must be a plain value, 'cluster' is a int64"),
        ("observing walks", r"observe\(\) must change nothing"),
        ("observing walks", r"observe\(\) twice must give the same bytes"),
        ("float64", r"must fit observation_specs: raised SpecError: 'place' must be float32"),
        ("aliased", "must not change after it was returned"),
        ("no validation", "an action of the wrong shape: must raise SpecError, raised nothing"),
        ("no validation", "an action of NaN: must raise SpecError, raised nothing"),
        ("walks on a bad action", "an action that was refused must change nothing"),
        ("endless", "an episode must end; this one ran for 2000 steps"),
        ("NaN reward", "a reward must be finite"),
        ("both ends", "terminated and truncated must not be set together"),
        ("closes once", r"close\(\) twice: raised RuntimeError"),
    ],
)
def test_a_broken_rule_is_named(defect, violation):
    with pytest.raises(ConformanceError, match=f"environment 'walk' breaks(.|\n)*{violation}"):
        check_environment(lambda: Walk(defect))


def test_all_violations_are_listed_at_once():
    with pytest.raises(ConformanceError) as caught:
        check_environment(lambda: Walk("no validation"))
    assert len(caught.value.violations) == 3
