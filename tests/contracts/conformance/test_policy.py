"""The kit passes a pure policy, and finds memory that is not in the state."""

from typing import ClassVar

import numpy as np
import pytest

from steadyhand.contracts.conformance.policy import check_policy
from steadyhand.contracts.errors import ConformanceError
from steadyhand.contracts.policy import ActionChunk
from steadyhand.contracts.specs import ArraySpec


class Follow:
    """Goes where it sees something, with one defect of choice."""

    observation_specs: ClassVar = {"place": ArraySpec("place", (2,), "float32")}
    action_spec = ArraySpec("action", (2,), "float32")
    state_specs: ClassVar = {"count": ArraySpec("count", (1,), "int64")}

    def __init__(self, defect=""):
        self.defect = defect
        self.calls = 0
        self.first = {"count": np.zeros(1, np.int64)}

    def initial_state(self):
        return self.first if self.defect == "shared state" else {"count": np.zeros(1, np.int64)}

    def act(self, observation, state, rng):
        self.calls += 1
        actions = np.repeat(observation["place"][None], 3, axis=0)
        if self.defect == "hidden memory":
            actions = actions + np.float32(self.calls)
        if self.defect == "changes its state":
            state["count"] += 1
        if self.defect == "changes its observation":
            observation["place"] *= 0
        if self.defect == "counts keys":
            actions = actions * np.float32(len(observation))
        if self.defect == "float64":
            actions = actions.astype(np.float64)
        if self.defect == "empty":
            actions = actions[:0]
        if self.defect == "NaN":
            actions = actions * np.float32(np.nan)
        size = self.calls if self.defect == "grows" else 1
        count = np.resize(state["count"] + 1, size)
        return ActionChunk(actions, 0.0 if self.defect == "no time" else 0.05), {"count": count}


def test_a_pure_policy_passes():
    check_policy(Follow())


@pytest.mark.parametrize(
    ("defect", "violation"),
    [
        ("shared state", "must return the same fresh values each time"),
        ("hidden memory", "there is memory outside of the state"),
        ("changes its state", "must not change its arguments"),
        ("changes its observation", "must not change its arguments"),
        ("counts keys", "surplus observation keys must be ignored; one changed the result"),
        ("float64", r"actions must be float32 of shape \(n, 2\), are float64"),
        ("empty", "a chunk must hold at least one action"),
        ("NaN", "actions must be finite"),
        ("no time", "period_s must be positive, is 0.0"),
        ("grows", "the state must fit state_specs at every step: raised SpecError: 'count' must"),
    ],
)
def test_a_broken_rule_is_named(defect, violation):
    with pytest.raises(ConformanceError, match=violation):
        check_policy(Follow(defect))
