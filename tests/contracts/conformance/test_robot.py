"""The kit passes a robot that stops, and names what another one does not do."""

from typing import ClassVar

import numpy as np
import pytest

from steadyhand.contracts.clock import ManualClock
from steadyhand.contracts.conformance.robot import check_robot
from steadyhand.contracts.errors import ConformanceError
from steadyhand.contracts.robot import Reading
from steadyhand.contracts.specs import ArraySpec

TARGET = np.zeros(2)


class Arm:
    """An arm in this process, with one defect of choice."""

    observation_specs: ClassVar = {"place": ArraySpec("place", (2,), "float32")}
    command_spec = ArraySpec("target", (2,), "float64")

    def __init__(self, defect=""):
        self.defect = defect
        self.is_stopped = defect == "born stopped"
        self.count = 0
        self.is_closed = False

    def observe(self):
        self.count += 1
        if self.defect == "blind when stopped" and self.is_stopped:
            raise RuntimeError("no reading")
        value = float(self.count) if self.defect == "same number" else 0.0
        return Reading(
            {"place": np.full(2, value, np.float64 if self.defect == "float64" else np.float32)},
            observed_at_s=100.0 if self.defect == "future" else 1.0,
            sequence=-self.count if self.defect == "goes back" else 1,
        )

    def command(self, target):
        if self.defect == "wakes up":
            self.is_stopped = False

    def stop(self):
        self.is_stopped = self.defect != "never stops"

    def handle(self):
        raise RuntimeError("not shared")

    def close(self):
        if self.defect == "closes once" and self.is_closed:
            raise RuntimeError("closed already")
        self.is_closed = True


def check(defect=""):
    check_robot(Arm(defect), TARGET, ManualClock(2.0), is_shared=False)


def test_a_robot_that_keeps_the_contract_passes():
    check()


@pytest.mark.parametrize(
    ("defect", "violation"),
    [
        ("born stopped", "is_stopped must be False before"),
        ("never stops", r"is_stopped must be True after stop\(\)"),
        ("wakes up", "a command must not end a stop"),
        ("blind when stopped", r"observe\(\) after stop\(\): raised RuntimeError"),
        ("same number", "readings of the same sequence number must hold the same bytes"),
        ("goes back", "sequence must not go back"),
        ("future", "a reading cannot be of the future: 100.0 s, now is 2.0 s"),
        ("float64", r"observe\(\) must fit observation_specs: raised SpecError"),
        ("closes once", r"close\(\) twice: raised RuntimeError"),
    ],
)
def test_a_broken_rule_is_named(defect, violation):
    with pytest.raises(ConformanceError, match=violation):
        check(defect)


def test_a_robot_that_cannot_be_shared_must_say_so():
    with pytest.raises(ConformanceError, match=r"stop\(\) from another process: raised Run"):
        check_robot(Arm(), TARGET, ManualClock(2.0))
