import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from toy_demonstrations import POLICY, make_arrays, make_statistics


@pytest.fixture(scope="session")
def arrays():
    return make_arrays()


@pytest.fixture(scope="session")
def statistics(arrays):
    return make_statistics(arrays)


@pytest.fixture(scope="session")
def policy_config():
    return POLICY


class Collected:
    """Progress that keeps what it is told."""

    def __init__(self):
        self.updates, self.rows, self.said = [], [], []

    def update(self, phase, done, total, unit):
        self.updates.append((phase, done, total, unit))

    def metrics(self, step, values):
        self.rows.append((step, dict(values)))

    def say(self, message):
        self.said.append(message)


@pytest.fixture
def progress():
    return Collected()
