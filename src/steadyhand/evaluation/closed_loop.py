"""One episode of a policy through the real control loop, in simulated time.

The loop, the gate, the limits and the fallbacks are those of the robot; only the clock is manual
and inference takes a fixed, stated time. So a result is a pure function of the policy's bytes, the
episode key and the settings: no machine speed, no number of workers, no order of episodes.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar, final, runtime_checkable

import numpy as np

from steadyhand.contracts.bundle import ActionLimits
from steadyhand.contracts.clock import ManualClock, MonotonicClock
from steadyhand.contracts.environment import Environment, EpisodeKey, Observation, Step
from steadyhand.contracts.episode import Fact
from steadyhand.contracts.errors import DataError, StageError, UsageError
from steadyhand.contracts.policy import ActionChunk, Policy, State
from steadyhand.contracts.specs import ArraySpec, Specs
from steadyhand.evaluation.environment_robot import EnvironmentRobot, JointEnvironment
from steadyhand.evaluation.results import EpisodeResult
from steadyhand.kinematics.controller import default_limits
from steadyhand.runtime.config import RuntimeConfig
from steadyhand.runtime.inference import InlineWorker
from steadyhand.runtime.loop import ControlLoop, TickReport, Verdict
from steadyhand.runtime.timing import ChunkTiming
from steadyhand.sim.catalog import make_environment

# Called after every tick with the world and what the tick did; must not change the world.
Watch = Callable[[JointEnvironment, TickReport], None]


@runtime_checkable
class PolicySource(Hashable, Protocol):
    """Names a policy and loads it: picklable and comparable, e.g. a frozen dataclass.

    Equal sources must load equal policies: put a digest of the bytes beside the path.
    """

    def __call__(self) -> Policy:
        """Load the policy."""
        ...


@dataclass(frozen=True, slots=True)
class ClosedLoopEpisode:
    """Runs an episode by its key; picklable, for use with an executor.

    Worlds and policies are kept per process between calls, as long as their number is small: a
    renderer costs more to make than an episode to run. A world is reset for each episode and a
    policy is pure, so that nothing passes from one episode to the next.

    Args:
        policy: What decides.
        timing: Windows of its chunks, as on the robot.
        runtime: Settings of the control loop, as on the robot.
        delay_s: Simulated time [s] an inference takes.
        limits: Action limits, as on the robot.
        environment: Makes the world of a task by name.
    """

    policy: PolicySource
    timing: ChunkTiming
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    delay_s: float = 0.05
    limits: ActionLimits = field(default_factory=default_limits)
    environment: Callable[[str], Environment] = make_environment

    def __post_init__(self) -> None:
        if not 0 <= self.delay_s <= self.timing.latency_budget_s:
            raise UsageError(
                f"an inference delay of {1e3 * self.delay_s:g} ms is outside the latency budget of "
                f"{1e3 * self.timing.latency_budget_s:g} ms, so every chunk would be refused"
            )

    @property
    def settings(self) -> dict[str, Fact]:
        """What decides the results besides policy and key, for people."""
        return {
            "control rate [Hz]": self.runtime.control_rate_hz,
            "inference delay [ms]": 1e3 * self.delay_s,
            "latency budget [ms]": 1e3 * self.timing.latency_budget_s,
            "refill threshold": self.timing.refill_threshold,
            "chunk length": self.timing.chunk_length,
        }

    def __call__(self, key: EpisodeKey) -> EpisodeResult:
        """Run one episode.

        Args:
            key: Its name.

        Returns:
            What it led to.

        Raises:
            DataError: If the task has another version than the key says.
            StageError: If the policy or the simulator failed; that is no failed episode.
        """
        return self.run(key)

    def run(self, key: EpisodeKey, watch: Watch | None = None) -> EpisodeResult:
        """Run one episode, watched after every tick; see :meth:`__call__`."""
        world = _world(self.environment, key)
        facts = world.reset(key.seed, key.index)
        clock = ManualClock()
        policy = _TimedPolicy(_policies.get(self.policy, self.policy))
        name = ("evaluation", key.task, key.task_version, key.seed, key.index)
        worker = InlineWorker(policy, clock, self.delay_s, stream_keys=name)
        robot = EnvironmentRobot(world, self.runtime.tick_period_s)
        loop = ControlLoop(robot, worker, clock, self.runtime, self.timing, self.limits)
        step, num_ticks = world.judge(), 0
        while not step.is_last and not robot.is_stopped:
            report = loop.tick()
            if report.verdict is Verdict.FAILED:
                raise robot.failure or StageError(
                    f"episode {key} could not be evaluated: {loop.counts.last_error}"
                )
            step = robot.advance()
            num_ticks += 1
            clock.wait_until_s(num_ticks * self.runtime.tick_period_s)
            if watch is not None:
                watch(world, report)
        return EpisodeResult(
            key=key,
            is_success=step.is_success,
            ending=_ending(step),
            num_steps=num_ticks,
            facts=dict(facts),
            verdicts={k: int(n) for k, n in loop.counts.verdicts.to_json().items()},
            num_inferences=len(policy.durations_s),
            inference_s=tuple(policy.durations_s),
        )


@final
class _TimedPolicy:
    """Measures the wall-clock time of each decision, without changing it."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._clock = MonotonicClock()
        self.durations_s: list[float] = []

    @property
    def observation_specs(self) -> Specs:
        return self._policy.observation_specs

    @property
    def action_spec(self) -> ArraySpec:
        return self._policy.action_spec

    @property
    def state_specs(self) -> Specs:
        return self._policy.state_specs

    def initial_state(self) -> State:
        return self._policy.initial_state()

    def act(
        self, observation: Observation, state: State, rng: np.random.Generator
    ) -> tuple[ActionChunk, State]:
        started_s = self._clock.now_s()
        decision = self._policy.act(observation, state, rng)
        self.durations_s.append(self._clock.now_s() - started_s)
        return decision


Made = TypeVar("Made")


@final
class _Kept(Generic[Made]):
    """The most recently used values of a process, at most so many."""

    def __init__(self, limit: int, close: Callable[[Made], None] | None = None) -> None:
        self._limit = limit
        self._close = close
        self._values: OrderedDict[Hashable, Made] = OrderedDict()

    def get(self, name: Hashable, make: Callable[[], Made]) -> Made:
        """Return the value of that name, made now if it is not kept."""
        if name not in self._values:
            self._values[name] = make()
        self._values.move_to_end(name)
        while len(self._values) > self._limit:
            _, oldest = self._values.popitem(last=False)
            if self._close is not None:
                self._close(oldest)
        return self._values[name]


# Per process. A suite alternates between few tasks; a comparison between two policies.
_worlds: _Kept[JointEnvironment] = _Kept(4, lambda world: world.close())
_policies: _Kept[Policy] = _Kept(2)


def _world(make: Callable[[str], Environment], key: EpisodeKey) -> JointEnvironment:
    """Return the world of a key's task, made once per process.

    Raises:
        UsageError: If it has no arm that takes joint targets.
        DataError: If the task has another version than the key says.
    """

    def build() -> JointEnvironment:
        world = make(key.task)
        if not isinstance(world, JointEnvironment):
            world.close()
            raise UsageError(
                f"task {key.task!r} has no arm that takes joint targets, so the control loop "
                "cannot drive it; evaluate one of the pick_place tasks"
            )
        return world

    world = _worlds.get((make, key.task), build)
    if world.task_version != key.task_version:
        raise DataError(
            f"episode {key} is of version {key.task_version} of its task, this installation has "
            f"version {world.task_version}; evaluate with the version that made the key"
        )
    return world


def _ending(step: Step) -> str:
    if step.is_success:
        return "success"
    if step.terminated:
        return "failure"
    return "time_limit" if step.truncated else "stopped"
