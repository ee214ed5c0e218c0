"""Any registered Gymnasium environment as an :class:`Environment`.

Box spaces become arrays with their bounds; Discrete spaces become int64[1] arrays with a range.
Gymnasium is not told anything about seeds but one number per episode, drawn from the key.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from steadyhand.contracts.environment import Observation, Step
from steadyhand.contracts.errors import MissingExtraError, UnknownNameError, UsageError
from steadyhand.contracts.seeds import seed_sequence
from steadyhand.contracts.specs import ArraySpec, Specs

PREFIX = "gym:"
OBSERVATION = "observation.state"
_UNKNOWN_PERIOD_S = 0.05


class GymnasiumEnvironment:
    """Wraps one Gymnasium environment.

    Args:
        task: ``gym:`` and a registered id, e.g. ``gym:CartPole-v1``.

    Raises:
        UnknownNameError: If the id is not registered; names the nearest one.
        UsageError: If a space is neither Box nor Discrete.
        MissingExtraError: If the environment needs a package that is not installed.
    """

    def __init__(self, task: str) -> None:
        name = task.removeprefix(PREFIX)
        if name not in gymnasium.registry:
            raise UnknownNameError("Gymnasium environment", name, gymnasium.registry)
        try:
            with warnings.catch_warnings():
                # Gymnasium warns about old versions; asking for one by id is a decision.
                warnings.simplefilter("ignore", DeprecationWarning)
                warnings.filterwarnings("ignore", module="gymnasium")
                self._environment = gymnasium.make(name)
        except gymnasium.error.DependencyNotInstalled as error:
            raise MissingExtraError(str(error), "sim") from error
        self._task = task
        self._observation_space = self._environment.observation_space
        self._action_space = self._environment.action_space
        self._specs = {OBSERVATION: space_to_spec(OBSERVATION, self._observation_space, task)}
        self._action_spec = space_to_spec("action", self._action_space, task)
        self._observation: Any = None

    @property
    def task(self) -> str:
        """``gym:`` and the id."""
        return self._task

    @property
    def task_version(self) -> int:
        """The number behind ``-v`` in the id; 0 without one."""
        spec = self._environment.spec
        return 0 if spec is None or spec.version is None else spec.version

    @property
    def observation_specs(self) -> Specs:
        """One array, ``observation.state``."""
        return self._specs

    @property
    def action_spec(self) -> ArraySpec:
        """The action space; a Discrete one is int64[1]."""
        return self._action_spec

    @property
    def step_period_s(self) -> float:
        """The environment's own ``dt`` where it has one, otherwise 0.05 s."""
        # Only MuJoCo environments and those that declare a frame rate know their time step.
        rate = self._environment.metadata.get("render_fps")
        return 1.0 / float(rate) if rate else _UNKNOWN_PERIOD_S

    def reset(self, seed: int, index: int) -> Mapping[str, float | int | str | bool]:
        """Start episode ``index`` of family ``seed``; Gymnasium reports no facts."""
        sequence = seed_sequence(self._task, self.task_version, seed, index)
        number = int(sequence.generate_state(1)[0]) >> 1
        self._observation, _ = self._environment.reset(seed=number)
        return {}

    def observe(self) -> Observation:
        """Return the newest observation.

        Raises:
            UsageError: Before the first reset.
        """
        if self._observation is None:
            raise UsageError(f"{self._task} was never reset; call reset(seed, index) first")
        spec = self._specs[OBSERVATION]
        return {OBSERVATION: np.array(self._observation, dtype=spec.dtype).reshape(spec.shape)}

    def step(self, action: NDArray[Any]) -> Step:
        """Apply one action.

        Raises:
            SpecError: If the action does not fit :attr:`action_spec`.
        """
        value: Any = self._action_spec.validate(action)
        if isinstance(self._action_space, spaces.Discrete):
            value = int(value[0])
        self._observation, reward, terminated, truncated, info = self._environment.step(value)
        return Step(
            reward=float(reward),
            terminated=bool(terminated),
            # An environment that ends by its own rules at its very last step is not cut.
            truncated=bool(truncated and not terminated),
            is_success=bool(info.get("is_success", False)),
        )

    def close(self) -> None:
        """Close it; calling it twice is fine."""
        self._environment.close()


def space_to_spec(name: str, space: spaces.Space[Any], task: str) -> ArraySpec:
    """Describe a Gymnasium space as an array.

    Raises:
        UsageError: If the space is neither Box nor Discrete.
    """
    if isinstance(space, spaces.Discrete):
        first = int(space.start)
        return ArraySpec(name, (1,), "int64", low=first, high=first + int(space.n) - 1)
    if isinstance(space, spaces.Box):
        return ArraySpec(
            name,
            tuple(int(n) for n in space.shape) or (1,),
            str(space.dtype),
            low=_bounds(space.low, is_lower=True),
            high=_bounds(space.high, is_lower=False),
        )
    raise UsageError(
        f"{task}: its {name} is a {type(space).__name__} space; only Box and Discrete are "
        "supported. Wrap it with gymnasium.wrappers.FlattenObservation first"
    )


def _bounds(values: NDArray[Any], *, is_lower: bool) -> float | tuple[float, ...] | None:
    """Return bounds as plain values; None where nothing is bounded."""
    infinite = -np.inf if is_lower else np.inf
    if (values == infinite).all():
        return None
    flat = values.ravel().astype(float).tolist()
    if len(set(flat)) == 1:
        return float(flat[0])
    return tuple(flat)
