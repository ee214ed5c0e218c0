"""Stories of the control loop in simulated time: what goes wrong, and what the robot does."""

from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steadyhand.contracts.clock import ManualClock
from steadyhand.contracts.errors import StageError
from steadyhand.contracts.policy import ActionChunk
from steadyhand.contracts.robot import Reading
from steadyhand.contracts.specs import ArraySpec
from steadyhand.kinematics.controller import ACTION_SPEC, COMMAND_SPEC, default_limits
from steadyhand.kinematics.panda import REST_RAD, end_effector_pose
from steadyhand.runtime.config import RuntimeConfig
from steadyhand.runtime.gate import Judgement, Result
from steadyhand.runtime.inference import InlineWorker, WorkerEvent
from steadyhand.runtime.ladder import Rung
from steadyhand.runtime.loop import ControlLoop
from steadyhand.runtime.timing import LEAD_S, ChunkTiming
from steadyhand.runtime.verdicts import Trouble, Verdict

TIMING = ChunkTiming(0.05, 10, 0.2, 0.5)
CONFIG = RuntimeConfig(
    control_rate_hz=20, hold_ms=200, safe_ms=500, rearm_results=2, observation_budget_ms=150
)
STATE = ArraySpec("observation.state", (12,), "float32")
REST = np.array((*REST_RAD, 0.08))
POSE = end_effector_pose(REST[:7])


class PerfectArm:
    """Reaches every target at once; fails, stands still or hurries the clock when told to."""

    def __init__(self, clock):
        self.clock = clock
        self.joints = REST.copy()
        self.commands = []
        self.is_stopped = False
        self.is_silent = False
        self.frozen_at_s = None
        self.fails_to_command = False
        self.seconds_per_command = 0.0
        self.spoil = None

    observation_specs = MappingProxyType({"observation.state": STATE})
    command_spec = COMMAND_SPEC

    def observe(self):
        if self.is_silent:
            raise StageError("cable pulled")
        now_s = self.clock.now_s() if self.frozen_at_s is None else self.frozen_at_s
        state = np.concatenate((self.joints, end_effector_pose(self.joints[:7])))
        if self.spoil is not None:
            state[3] = self.spoil
        return Reading({"observation.state": state.astype(np.float32)}, now_s, 1)

    def command(self, target):
        if self.fails_to_command:
            raise StageError("driver died")
        self.clock.advance_s(self.seconds_per_command)
        if not self.is_stopped:
            self.joints = target.copy()
            self.commands.append(target)

    def stop(self):
        self.is_stopped = True

    def handle(self):
        return None

    def close(self):
        pass


class Rise:
    """A policy that rises 2 mm per action; its state counts its calls."""

    observation_specs = MappingProxyType({"observation.state": STATE})
    action_spec = ACTION_SPEC
    state_specs = MappingProxyType({"state.grip": ArraySpec("state.grip", (1,), "float32")})

    def __init__(self):
        self.states = []

    def initial_state(self):
        return {"state.grip": np.zeros(1, np.float32)}

    def act(self, observation, state, rng):
        self.states.append(float(state["state.grip"][0]))
        pose = observation["observation.state"][8:12]
        actions = np.zeros((10, 5), np.float32)
        actions[:, :4] = pose
        actions[:, 2] += 0.002 * np.arange(10, dtype=np.float32)
        return ActionChunk(actions, 0.05), {"state.grip": state["state.grip"] + 1}


class Scripted:
    """A worker whose results are laid down by the test."""

    digest = "d"

    def __init__(self, clock):
        self.clock = clock
        self.results = []
        self.requests = []
        self.events = []

    def initial_state(self):
        return {}

    def request(self, observation, state, observed_at_s):
        self.requests.append(observed_at_s)
        return len(self.requests)

    def poll(self):
        return self.results.pop(0) if self.results else None

    def supervise(self, now_s):
        events, self.events = tuple(self.events), []
        return events

    def close(self):
        pass

    def answer(self, age_s=0.0, fill=None):
        actions = np.zeros((10, 5), np.float32)
        actions[:, :4] = POSE
        if fill is not None:
            actions[:] = fill
        observed_at_s = self.clock.now_s() - age_s
        self.results.append(Result(actions, {}, observed_at_s, "d", 0.01, 1))


class Bench:
    """A loop on a perfect arm in simulated time."""

    def __init__(self, worker=None, config=CONFIG):
        self.clock = ManualClock(100.0)
        self.arm = PerfectArm(self.clock)
        self.worker = Scripted(self.clock) if worker is None else worker(self.clock)
        self.loop = ControlLoop(self.arm, self.worker, self.clock, config, TIMING, default_limits())
        self.period_s = config.tick_period_s

    def tick(self, **arguments):
        report = self.loop.tick(**arguments)
        self.clock.advance_s(self.period_s)
        return report

    def ticks(self, count):
        return [self.tick() for _ in range(count)]


@pytest.fixture
def bench():
    return Bench()


def inline(delay_s=0.0):
    return Bench(lambda clock: InlineWorker(Rise(), clock, delay_s))


def verdicts(reports):
    return [r.verdict for r in reports]


def test_inference_without_delay_executes_from_the_first_tick_and_the_first_action():
    bench = inline()
    reports = bench.ticks(12)
    assert set(verdicts(reports)) == {Verdict.EXECUTED}
    assert [r.index for r in reports] == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    assert bench.loop.counts.late_actions == 0


def test_a_delay_costs_as_many_actions_as_it_lasts():
    """Two ticks of delay: the first chunk starts at its action 2, because 0 and 1 are over."""
    bench = inline(0.1)
    reports = bench.ticks(14)
    assert verdicts(reports)[:2] == [Verdict.HELD, Verdict.HELD]
    assert [r.index for r in reports[2:]] == [2, 3, 4, 5, 6, 2, 3, 4, 5, 6, 2, 3]


def test_a_delay_beyond_the_budget_never_moves_the_arm_by_policy():
    bench = inline(0.25)
    reports = bench.ticks(40)
    assert Verdict.EXECUTED not in verdicts(reports)
    assert bench.loop.counts.judgements.get(Judgement.TOO_LATE) > 0
    assert bench.loop.counts.judgements.get(Judgement.ACCEPTED) == 0
    assert bench.arm.is_stopped


def test_the_same_arguments_give_the_same_commands():
    first, second = inline(0.05), inline(0.05)
    first.ticks(30)
    second.ticks(30)
    np.testing.assert_array_equal(first.arm.commands, second.arm.commands)


def test_the_state_of_a_result_is_adopted_only_if_it_is_accepted():
    policy = Rise()
    bench = Bench(lambda clock: InlineWorker(policy, clock, 0.25))
    bench.ticks(30)
    assert set(policy.states) == {0.0}
    policy = Rise()
    bench = Bench(lambda clock: InlineWorker(policy, clock))
    bench.ticks(11)
    assert policy.states == [0.0, 1.0, 2.0]


def test_the_rest_of_the_chunk_comes_before_hold_safe_and_stop(bench):
    bench.worker.answer()
    reports = bench.ticks(10 + 4 + 10 + 3)
    expected = [Verdict.EXECUTED] * 10 + [Verdict.HELD] * 4 + [Verdict.SAFE] * 10
    assert verdicts(reports) == expected + [Verdict.STOPPED] * 3
    assert bench.arm.is_stopped
    assert bench.loop.counts.fallbacks_taken == 1


def test_hold_repeats_the_last_command(bench):
    bench.worker.answer()
    bench.ticks(10)
    last = bench.arm.commands[-1].copy()
    bench.ticks(4)
    for command in bench.arm.commands[-4:]:
        np.testing.assert_array_equal(command, last)


def test_the_safe_controller_rises_slowly_and_keeps_the_gripper(bench):
    bench.ticks(4)
    reports = bench.ticks(9)
    assert set(verdicts(reports)) == {Verdict.SAFE}
    heights = [end_effector_pose(r.command[:7])[2] for r in reports]
    steps = np.diff([POSE[2], *heights])
    assert (steps > 0).all()
    assert (steps < 0.0075).all()
    np.testing.assert_allclose(end_effector_pose(bench.arm.joints[:7])[:2], POSE[:2], atol=2e-3)
    assert bench.arm.joints[7] == pytest.approx(0.08, abs=1e-6)


def test_the_safe_controller_gives_back_after_two_good_results(bench):
    bench.ticks(5)
    bench.worker.answer()
    assert bench.tick().verdict is Verdict.SAFE
    bench.worker.answer()
    assert bench.tick().verdict is Verdict.EXECUTED


def test_the_same_picture_is_not_asked_about_twice():
    """Cameras at 20 Hz under a loop at 50 Hz: a second answer to the same observation is no news.

    It used to be asked for on the safe controller, was refused as out of order, and the refusal
    kept the safe controller from giving back.
    """
    config = RuntimeConfig(control_rate_hz=50, hold_ms=40, rearm_results=2)
    bench = Bench(config=config)
    bench.ticks(3)
    bench.arm.frozen_at_s = bench.clock.now_s()
    bench.worker.answer()
    asked = len(bench.worker.requests)
    assert {r.rung for r in bench.ticks(3)} == {Rung.SAFE}
    assert len(bench.worker.requests) == asked
    bench.arm.frozen_at_s = None
    bench.worker.answer()
    assert bench.tick().rung is Rung.POLICY


def test_nan_is_refused_and_the_rest_of_the_chunk_goes_on(bench):
    bench.worker.answer()
    bench.ticks(2)
    bench.worker.answer(fill=np.nan)
    report = bench.tick()
    assert report.judgements == (Judgement.NOT_FINITE,)
    assert (report.verdict, report.index) == (Verdict.EXECUTED, 2)
    assert all(np.isfinite(c).all() for c in bench.arm.commands)


def test_a_stale_result_is_refused_and_a_newer_chunk_goes_on(bench):
    bench.worker.answer()
    bench.tick()
    bench.worker.answer(age_s=0.15)
    report = bench.tick()
    assert report.judgements == (Judgement.OUT_OF_ORDER,)
    assert report.index == 1


def test_a_dead_worker_is_counted_and_asked_again_at_once(bench):
    bench.tick()
    assert len(bench.worker.requests) == 1
    bench.worker.events = [WorkerEvent.DIED]
    report = bench.tick()
    assert report.worker_events == (WorkerEvent.DIED,)
    assert len(bench.worker.requests) == 2
    assert bench.loop.counts.worker_events.get(WorkerEvent.DIED) == 1


def test_a_missing_answer_is_asked_for_again_after_the_budget(bench):
    bench.ticks(11)
    assert [round(t - 100, 2) for t in bench.worker.requests] == [0, 0.25, 0.5]


def test_a_refill_is_asked_for_once_and_only_when_it_is_due(bench):
    bench.worker.answer()
    bench.ticks(5)
    assert bench.worker.requests == []
    bench.ticks(2)
    assert [round(t - 100, 2) for t in bench.worker.requests] == [0.25]


def test_a_silent_robot_is_held_and_then_stopped(bench):
    bench.worker.answer()
    bench.ticks(2)
    bench.arm.is_silent = True
    reports = bench.ticks(6)
    assert verdicts(reports) == [Verdict.HELD] * 4 + [Verdict.STOPPED] * 2
    assert bench.loop.counts.troubles.get(Trouble.ROBOT_SILENT) == 6
    assert "cable pulled" in bench.loop.counts.last_error


def test_a_robot_that_is_silent_for_a_moment_goes_on(bench):
    bench.worker.answer()
    bench.ticks(2)
    bench.arm.is_silent = True
    assert bench.tick().verdict is Verdict.HELD
    bench.arm.is_silent = False
    report = bench.tick()
    assert (report.verdict, report.index) == (Verdict.EXECUTED, 3)


def test_an_old_or_impossible_reading_counts_as_silence(bench):
    bench.worker.answer()
    bench.tick()
    bench.arm.spoil = np.nan
    assert bench.tick().verdict is Verdict.HELD
    bench.arm.spoil = None
    bench.arm.frozen_at_s = bench.clock.now_s() - 0.16
    assert bench.tick().verdict is Verdict.HELD
    assert bench.loop.counts.troubles.get(Trouble.ROBOT_SILENT) == 2


def test_a_robot_that_was_never_seen_gets_no_command(bench):
    bench.arm.is_silent = True
    assert bench.tick().command is None
    assert bench.arm.commands == []


def test_a_command_that_fails_is_a_verdict_not_an_exception(bench):
    bench.worker.answer()
    bench.arm.fails_to_command = True
    assert bench.tick().verdict is Verdict.FAILED
    assert bench.loop.counts.troubles.get(Trouble.COMMAND_FAILED) == 1
    assert "driver died" in bench.loop.counts.last_error


def test_a_lost_watchdog_stops_the_robot(bench):
    bench.worker.answer()
    bench.tick()
    report = bench.tick(is_watchdog_lost=True)
    assert (report.verdict, report.rung) == (Verdict.STOPPED, Rung.STOP)
    assert bench.arm.is_stopped
    assert bench.loop.counts.troubles.get(Trouble.WATCHDOG_LOST) == 1


def test_a_stop_from_outside_is_final(bench):
    bench.worker.answer()
    bench.tick()
    bench.arm.stop()
    bench.worker.answer()
    assert verdicts(bench.ticks(3)) == [Verdict.STOPPED] * 3
    assert bench.loop.counts.troubles.get(Trouble.STOPPED_OUTSIDE) == 1


def test_an_error_nobody_foresaw_brakes_the_robot(bench):
    bench.worker.results = ["not a result"]
    report = bench.tick()
    assert report.verdict is Verdict.FAILED
    assert bench.arm.is_stopped
    assert "AttributeError" in bench.loop.counts.last_error
    assert bench.tick().verdict is Verdict.STOPPED


def test_an_action_whose_window_closes_while_it_is_prepared_is_not_sent():

    class SlowClock(ManualClock):
        """Loses time between two looks, as a busy machine does."""

        lose_s = 0.0

        def now_s(self):
            self.advance_s(self.lose_s)
            return super().now_s()

    clock = SlowClock(100.0)
    arm, worker = PerfectArm(clock), Scripted(clock)
    loop = ControlLoop(arm, worker, clock, CONFIG, TIMING, default_limits())
    worker.answer()
    loop.tick()
    clock.advance_s(0.055)
    clock.lose_s = 0.012
    report = loop.tick()
    assert report.verdict is Verdict.EXPIRED
    assert not report.is_late
    np.testing.assert_array_equal(arm.commands[-1], arm.commands[0])


def test_an_action_that_was_sent_too_late_is_counted():
    """The proof can fail: a driver that blocks in ``command`` makes the count go up."""
    bench = Bench()
    bench.worker.answer()
    bench.arm.seconds_per_command = 0.06
    assert bench.tick().is_late
    assert bench.loop.counts.late_actions == 1


def test_clips_are_counted_by_limit(bench):
    bench.worker.answer(fill=1.5)
    report = bench.tick()
    assert "workspace" in report.clipped
    assert bench.loop.counts.clips.to_json()["workspace"] == 1


def test_every_tick_ends_in_exactly_one_counted_verdict(bench):
    bench.worker.answer()
    bench.ticks(40)
    assert bench.loop.counts.verdicts.total == 40
    json = bench.loop.counts.to_json()
    assert json["ticks"] == 40
    assert sum(json["verdicts"].values()) == 40


def test_a_fast_loop_moves_smoothly_through_a_slow_chunk():
    """50 Hz over 20 Hz actions: no two equal commands in a row while the arm rises."""
    config = RuntimeConfig(control_rate_hz=50)
    bench = Bench(lambda clock: InlineWorker(Rise(), clock), config)
    bench.ticks(10)
    heights = [end_effector_pose(c[:7])[2] for c in bench.arm.commands]
    steps = np.diff(heights)
    assert (steps > 1e-4).all()
    assert steps.max() < 0.0015


LIMITS = default_limits()
events = st.lists(
    st.tuples(
        st.sampled_from(["nothing", "answer", "nan", "old", "silent", "died", "wild"]),
        st.floats(0.0, 0.6),
        st.floats(0.0, 0.3),
    ),
    min_size=1,
    max_size=40,
)


@given(events)
@settings(max_examples=120, deadline=None)
def test_for_any_sequence_of_times_no_late_action_and_no_impossible_command(story):
    """Results of any age, at any time, between ticks of any length: never late, never wild."""
    bench = Bench()
    for kind, age_s, pause_s in story:
        bench.arm.is_silent = kind == "silent"
        if kind in ("answer", "old"):
            bench.worker.answer(age_s=age_s)
        if kind in ("nan", "wild"):
            bench.worker.answer(age_s=age_s / 4, fill=np.nan if kind == "nan" else 1e6)
        if kind == "died":
            bench.worker.events = [WorkerEvent.DIED]
        now_s = bench.clock.now_s()
        report = bench.loop.tick()
        if report.verdict is Verdict.EXECUTED:
            # The action that went out belongs to now, and its observation was young enough.
            assert report.observed_at_s + (report.index + 1) * 0.05 > now_s
            assert report.observed_at_s + report.index * 0.05 <= now_s + LEAD_S + 1e-6
        assert not report.is_late
        bench.clock.advance_s(pause_s)
    assert bench.loop.counts.late_actions == 0
    assert bench.loop.counts.verdicts.total == len(story)
    assert bench.loop.counts.troubles.get(Trouble.INTERNAL) == 0
    for command in bench.arm.commands:
        assert np.isfinite(command).all()
        assert (command[:7] >= LIMITS.joint_low_rad).all()
        assert (command[:7] <= LIMITS.joint_high_rad).all()
        assert LIMITS.gripper_low_m <= command[7] <= LIMITS.gripper_high_m
