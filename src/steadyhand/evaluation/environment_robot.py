"""A simulated world as a robot, in simulated time and without a process of its own.

The control loop reads and commands it like an arm; whoever drives the loop lets time pass with
:meth:`EnvironmentRobot.advance`. Cameras are rendered when a picture is looked at, because that is
what costs: most ticks only need the joints.
"""

from typing import Any, Protocol, final, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.environment import Environment, Observation, Step
from steadyhand.contracts.errors import StageError, SteadyError, UsageError
from steadyhand.contracts.robot import Reading
from steadyhand.contracts.specs import ArraySpec, Specs
from steadyhand.kinematics.controller import COMMAND_SPEC
from steadyhand.sim.tasks.pick_place_scene import PHYSICS_STEP_S

STATE_KEY = "observation.state"


@runtime_checkable
class JointEnvironment(Environment, Protocol):
    """An environment with an arm in it that takes joint targets."""

    def read_state(self) -> NDArray[np.float32]:
        """Return ``observation.state`` without rendering."""
        ...

    def set_targets(self, command: NDArray[np.float64]) -> None:
        """Set the servos' targets: seven joints [rad] and the gripper opening [m]."""
        ...

    def advance(self, num_physics_steps: int) -> None:
        """Let simulated time pass, in units of ``PHYSICS_STEP_S``."""
        ...

    def judge(self) -> Step:
        """Say how the episode stands now."""
        ...


class _LazyObservation(Observation):
    """Holds the joints; renders the pictures when one of them is asked for."""

    def __init__(self, robot: "EnvironmentRobot", sequence: int) -> None:
        super().__init__({STATE_KEY: robot.environment.read_state()})
        self._robot = robot
        self._sequence = sequence

    def __missing__(self, key: str) -> NDArray[Any]:
        """Render, provided that the world is still the one this observation was made of."""
        self.update(self._robot.render(self._sequence))
        return dict(self)[key]


@final
class EnvironmentRobot:
    """Implements :class:`contracts.robot.Robot` over an environment.

    Args:
        environment: The world, already reset.
        tick_period_s: Time [s] that passes per :meth:`advance`; a multiple of the physics step.

    Raises:
        UsageError: If the tick does not consist of whole physics steps.
    """

    def __init__(self, environment: JointEnvironment, tick_period_s: float) -> None:
        steps = round(tick_period_s / PHYSICS_STEP_S)
        if steps < 1 or abs(steps * PHYSICS_STEP_S - tick_period_s) > 1e-9:
            raise UsageError(
                f"a tick of {1e3 * tick_period_s:g} ms is no multiple of the physics step of "
                f"{1e3 * PHYSICS_STEP_S:g} ms; choose a control rate such as 20, 25, 50 or 100 Hz"
            )
        self.environment = environment
        self.failure: SteadyError | None = None
        self._tick_period_s = tick_period_s
        self._steps_per_tick = steps
        self._sequence = 0
        self._is_stopped = False

    @property
    def observation_specs(self) -> Specs:
        """Specs of the environment's observation."""
        return self.environment.observation_specs

    @property
    def command_spec(self) -> ArraySpec:
        """Seven joint targets [rad] and the gripper opening [m]."""
        return COMMAND_SPEC

    def observe(self) -> Reading:
        """Return the world of this moment; pictures are rendered when looked at."""
        return Reading(
            _LazyObservation(self, self._sequence),
            self._sequence * self._tick_period_s,
            self._sequence,
        )

    def render(self, sequence: int) -> Observation:
        """Return the complete observation of moment ``sequence``.

        Raises:
            StageError: If that moment has passed.
            RenderingError: If this machine has no OpenGL; kept in :attr:`failure`, because a
                control loop survives every error and would count it as a bad episode.
        """
        if sequence != self._sequence:
            raise StageError(
                f"a picture of tick {sequence} was asked for at tick {self._sequence}; "
                "look at an observation in the tick it was made in"
            )
        try:
            return self.environment.observe()
        except SteadyError as error:
            self.failure = error
            raise

    def command(self, target: NDArray[np.float64]) -> None:
        """Set the position targets, which hold until the next command."""
        if not self._is_stopped:
            self.environment.set_targets(target)

    def advance(self) -> Step:
        """Let one tick pass and say how the episode stands."""
        self.environment.advance(self._steps_per_tick)
        self._sequence += 1
        return self.environment.judge()

    def stop(self) -> None:
        """Hold the measured position; commands are ignored from now on."""
        self._is_stopped = True
        self.environment.set_targets(self.environment.read_state()[:8].astype(np.float64))

    @property
    def is_stopped(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._is_stopped

    def handle(self) -> Any:
        """Refuse: a world in simulated time cannot be shared with another process.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            "a world in simulated time lives in one process; use sim.robot.SimulatedRobot to "
            "run a robot that other processes attach to"
        )

    def close(self) -> None:
        """Let go; the environment belongs to whoever made it."""
