"""Fixtures over the fakes beside this file."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import evaluation_fakes as fakes

from steadyhand.evaluation.closed_loop import ClosedLoopEpisode
from steadyhand.evaluation.findings import Findings
from steadyhand.evaluation.suite import Evaluation


@pytest.fixture(scope="session")
def findings() -> Findings:
    return fakes.build_findings()


@pytest.fixture(scope="session")
def checkpoint() -> Evaluation:
    return fakes.evaluation_of("checkpoint", fakes.FAILING["checkpoint"])


@pytest.fixture(scope="session")
def bundle() -> Evaluation:
    return fakes.evaluation_of("bundle", fakes.FAILING["bundle"])


@pytest.fixture
def reach_episode():
    return ClosedLoopEpisode(fakes.ReachSource(), fakes.TIMING, environment=fakes.ReachWorld)


@pytest.fixture
def expert_episode():
    return ClosedLoopEpisode(
        fakes.ExpertSource(), fakes.TIMING, environment=fakes.make_shared_world
    )


@pytest.fixture
def expert_key():
    return fakes.EXPERT_KEY


@pytest.fixture
def reach_suite():
    return fakes.REACH_SUITE


@pytest.fixture
def serial():
    return fakes.SerialExecutor()


@pytest.fixture
def two_processes():
    return fakes.TwoProcesses()


@pytest.fixture
def short_episode():
    return ClosedLoopEpisode(fakes.ExpertSource(), fakes.TIMING, environment=fakes.make_short_world)
