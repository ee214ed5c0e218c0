"""The inference process: it answers, dies, hangs and comes back, and never blocks the loop."""

import os
import secrets
import signal
from pathlib import Path

import numpy as np
import pytest

from steadyhand.contracts.clock import MonotonicClock
from steadyhand.contracts.errors import StageError
from steadyhand.runtime.bundle import verify_bundle
from steadyhand.runtime.config import RuntimeConfig
from steadyhand.runtime.control import BundleLoader
from steadyhand.runtime.inference import WorkerEvent
from steadyhand.runtime.worker import ProcessWorker

CLOCK = MonotonicClock()
CONFIG = RuntimeConfig(hang_budgets=1.0, restart_backoff_ms=10)


def make(bundle, directory=None, digest=None):
    verified = verify_bundle(bundle.directory, bundle.keys)
    loader = BundleLoader(directory or bundle.directory, bundle.keys, digest or verified.digest)
    name = f"steadyhand-test-{secrets.token_hex(6)}"
    return ProcessWorker(loader, verified.manifest, verified.digest, CONFIG, CLOCK, name)


@pytest.fixture(scope="module")
def started(bundle):
    """One running worker for the tests that leave it running."""
    worker = make(bundle)
    warm_up = worker.start()
    yield worker, warm_up
    worker.close()
    worker.close()


def observation(z_m=0.3):
    state = np.zeros(12, np.float32)
    state[8:] = (0.4, 0.0, z_m, 0.0)
    picture = np.zeros((64, 64, 3), np.uint8)
    return {
        "observation.state": state,
        "observation.images.wrist": picture,
        "observation.images.scene": picture,
    }


STATE = {"state.grip": np.array([0.5], np.float32)}


def wait_for(poll, within_s=20.0):
    """Poll without spinning until there is something."""
    give_up_s = CLOCK.now_s() + within_s
    while CLOCK.now_s() < give_up_s:
        found = poll()
        if found:
            return found
        CLOCK.wait_until_s(CLOCK.now_s() + 0.002)
    pytest.fail("nothing came in time")


def test_it_measures_itself_before_it_takes_requests(started):
    _, warm_up = started
    assert 0 < warm_up.latency_p50_s <= warm_up.latency_p99_s < 1
    assert warm_up.load_s > 0


def test_a_chunk_comes_back_with_the_time_of_its_observation(started, bundle):
    worker, _ = started
    sequence = worker.request(observation(0.31), STATE, 12.5)
    result = wait_for(worker.poll)
    assert (result.observed_at_s, result.sequence) == (12.5, sequence)
    assert result.digest == verify_bundle(bundle.directory, bundle.keys).digest
    np.testing.assert_allclose(result.actions[0], (0.4, 0, 0.31, 0, 0), atol=1e-6)
    assert result.state["state.grip"][0] == 0.5
    assert 0 < result.compute_s < 1
    assert worker.poll() is None
    assert worker.supervise(CLOCK.now_s()) == ()


def test_the_newest_observation_wins(started):
    worker, _ = started
    os.kill(worker.pid, signal.SIGSTOP)
    for i in range(20):
        newest = worker.request(observation(0.3 + i / 1000), STATE, float(i))
    os.kill(worker.pid, signal.SIGCONT)
    result = wait_for(worker.poll)
    while result.sequence != newest:  # it may have begun one before it was stopped
        result = wait_for(worker.poll)
    assert result.observed_at_s == 19.0
    np.testing.assert_allclose(result.actions[0, 2], 0.319, atol=1e-6)


def test_a_killed_worker_is_noticed_restarted_and_answers_again(bundle):
    worker = make(bundle)
    try:
        worker.start()
        first = worker.pid
        os.kill(first, signal.SIGKILL)
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
        assert worker.supervise(CLOCK.now_s()) == (WorkerEvent.DIED,)
        assert worker.pid is None
        assert worker.supervise(CLOCK.now_s()) == ()  # the pause
        assert wait_for(lambda: worker.supervise(CLOCK.now_s())) == (WorkerEvent.RESTARTED,)
        assert wait_for(lambda: worker.supervise(CLOCK.now_s())) == (WorkerEvent.READY,)
        assert worker.pid != first
        worker.request(observation(), STATE, 1.0)
        assert wait_for(worker.poll).observed_at_s == 1.0
    finally:
        worker.close()


def test_a_hanging_worker_is_killed_after_its_budget(bundle):
    worker = make(bundle)
    try:
        worker.start()
        hanging = worker.pid
        os.kill(hanging, signal.SIGSTOP)
        worker.request(observation(), STATE, 1.0)
        asked_s = CLOCK.now_s()
        assert worker.supervise(asked_s + 0.19) == ()
        assert worker.supervise(asked_s + 0.21) == (WorkerEvent.HUNG,)
        wait_for(lambda: has_ended(hanging))
    finally:
        worker.close()


def has_ended(pid):
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_a_worker_that_cannot_start_says_why(bundle, tmp_path):
    worker = make(bundle, directory=tmp_path)
    with pytest.raises(StageError, match=r"could not start: .* is no bundle"):
        worker.start()
    worker = make(bundle, digest="0" * 64)
    with pytest.raises(StageError, match="was replaced during the session"):
        worker.start()
