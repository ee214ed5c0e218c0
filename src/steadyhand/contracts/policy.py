"""Policies: a pure function from (observation, state, chance) to (action chunk, state)."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.environment import Observation
from steadyhand.contracts.specs import ArraySpec, Specs

State = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class ActionChunk:
    """Consecutive actions; action ``i`` is meant for ``observed_at + i * period_s``.

    Args:
        actions: float32 of shape (n, action size), absolute values in the action spec's units.
        period_s: Time [s] each action is executed.
    """

    actions: NDArray[np.float32]
    period_s: float

    @property
    def horizon_s(self) -> float:
        """Time [s] the whole chunk covers."""
        return len(self.actions) * self.period_s


class Policy(Protocol):
    """Decides. All memory is in the state; its bytes are part of the contract."""

    @property
    def observation_specs(self) -> Specs:
        """The observation keys that are used; surplus keys are ignored."""
        ...

    @property
    def action_spec(self) -> ArraySpec:
        """Spec of one action of the chunk."""
        ...

    @property
    def state_specs(self) -> Specs:
        """Specs of the state; their sizes never depend on the horizon."""
        ...

    def initial_state(self) -> State:
        """Return the state at the start of an episode."""
        ...

    def act(
        self, observation: Observation, state: State, rng: np.random.Generator
    ) -> tuple[ActionChunk, State]:
        """Decide; equal arguments give equal results, and the arguments are not changed."""
        ...


def state_bytes(policy: Policy) -> int:
    """Return the size [bytes] of what a policy remembers."""
    return sum(spec.nbytes for spec in policy.state_specs.values())
