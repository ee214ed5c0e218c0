"""A bundle's graphs as a policy: parts in order, all memory in an explicit state."""

from collections.abc import Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.bundle import BundleManifest
from steadyhand.contracts.engine import Engine
from steadyhand.contracts.environment import Observation
from steadyhand.contracts.errors import DataError
from steadyhand.contracts.policy import ActionChunk, State
from steadyhand.contracts.specs import Arrays, ArraySpec, Specs

ACTIONS = "actions"
NEXT = "next."


@final
class BundlePolicy:
    """Runs the parts of a bundle one after another.

    An input of a part is, by name, an observation, a state, or an output of an earlier part. The
    chunk is the output ``actions``, the next state of ``x`` the output ``next.x``. Graphs may
    carry a leading batch of one.

    Args:
        manifest: The bundle's manifest.
        engines: One loaded graph per part, in the manifest's order.

    Raises:
        DataError: If the graphs do not fit together or not to the manifest.
    """

    def __init__(self, manifest: BundleManifest, engines: Sequence[Engine]) -> None:
        self._manifest = manifest
        self._engines = tuple(engines)
        self._observation_specs = {s.name: s for s in manifest.observation_specs}
        self._state_specs = {s.name: s for s in manifest.state_specs}
        known = {**self._observation_specs, **self._state_specs}
        for part, engine in zip(manifest.parts, self._engines, strict=True):
            for name, spec in engine.input_specs.items():
                if name not in known or known[name].nbytes != spec.nbytes:
                    raise DataError(
                        f"bundle part {part.name!r}: input {name!r} {list(spec.shape)} is neither "
                        f"an observation, a state nor an earlier output; there are {sorted(known)}"
                    )
            known |= engine.output_specs
        wanted = {ACTIONS: 4 * manifest.chunk_length * manifest.action_spec.shape[0]}
        wanted |= {NEXT + s.name: s.nbytes for s in manifest.state_specs}
        for name, size in wanted.items():
            if name not in known or known[name].nbytes != size:
                raise DataError(f"bundle {manifest.name!r}: no part has output {name!r} ({size} B)")

    @property
    def observation_specs(self) -> Specs:
        """What the policy reads."""
        return self._observation_specs

    @property
    def action_spec(self) -> ArraySpec:
        """Spec of one action."""
        return self._manifest.action_spec

    @property
    def state_specs(self) -> Specs:
        """What the policy remembers."""
        return self._state_specs

    def initial_state(self) -> State:
        """Return the state at the start of an episode: zeros."""
        return {name: np.zeros(s.shape, s.dtype) for name, s in self._state_specs.items()}

    def act(
        self, observation: Observation, state: State, rng: np.random.Generator
    ) -> tuple[ActionChunk, State]:
        """Run all parts once; ``rng`` is not used, exported policies are deterministic."""
        del rng
        known = self.run_parts({**observation, **state})
        shape = (self._manifest.chunk_length, *self._manifest.action_spec.shape)
        chunk = ActionChunk(known[ACTIONS].reshape(shape), self._manifest.action_period_s)
        following = {
            name: known[NEXT + name].reshape(spec.shape) for name, spec in self._state_specs.items()
        }
        return chunk, following

    def run_parts(self, values: Arrays) -> dict[str, NDArray[Any]]:
        """Run all parts on observations and states; return everything that is known then."""
        known: dict[str, NDArray[Any]] = dict(values)
        for engine in self._engines:
            specs = engine.input_specs
            inputs = {name: known[name].reshape(spec.shape) for name, spec in specs.items()}
            known |= engine.run(inputs)
        return known
