"""Rules of :class:`steadyhand.contracts.policy.Policy`."""

from typing import Any

import numpy as np

from steadyhand.contracts.conformance.findings import Findings, frozen
from steadyhand.contracts.conformance.sampling import draw_all
from steadyhand.contracts.environment import Observation
from steadyhand.contracts.policy import ActionChunk, Policy, State, state_bytes
from steadyhand.contracts.seeds import stream
from steadyhand.contracts.specs import validate_arrays

Frozen = tuple[bytes, float, dict[str, Any]]


def check_policy(policy: Policy, *, num_steps: int = 10) -> None:
    """Try every rule of a policy on observations drawn from its specs.

    Args:
        policy: The policy.
        num_steps: Decisions in a row; raise it (to 1e5) to prove that a memory does not grow.

    Raises:
        ConformanceError: Lists the rules that do not hold.
    """
    findings = Findings(f"policy {type(policy).__name__}")
    with findings.rule("initial_state()"):
        _check_initial_state(policy, findings)
    with findings.rule("act()"):
        _check_sequence(policy, num_steps, findings)
    with findings.rule("purity of act()"):
        _check_purity(policy, findings)
    findings.raise_if_any()


def _check_initial_state(policy: Policy, findings: Findings) -> None:
    state = policy.initial_state()
    validate_arrays(policy.state_specs, state, "initial state")
    before = frozen(state)
    for array in state.values():
        array[...] = np.ones((), array.dtype)
    findings.expect(
        frozen(policy.initial_state()) == before,
        "initial_state() must return the same fresh values each time; changing what it returned "
        "changed the next",
    )


def _check_sequence(policy: Policy, num_steps: int, findings: Findings) -> None:
    state = policy.initial_state()
    expected_bytes = state_bytes(policy)
    for i in range(num_steps):
        rng = stream("conformance", "policy", i)
        chunk, state = policy.act(draw_all(policy.observation_specs, rng), state, rng)
        _check_chunk(policy, chunk, findings)
        with findings.rule("the state must fit state_specs at every step"):
            validate_arrays(policy.state_specs, state, "state")
    findings.expect(
        state_bytes(policy) == expected_bytes,
        "the size of the state must not depend on the horizon",
    )


def _check_chunk(policy: Policy, chunk: ActionChunk, findings: Findings) -> None:
    actions, size = chunk.actions, policy.action_spec.shape
    findings.expect(
        actions.dtype == np.float32 and actions.ndim == 2 and actions.shape[1:] == size,
        f"actions must be float32 of shape (n, {size[0]}), are {actions.dtype}{actions.shape}",
    )
    findings.expect(len(actions) > 0, "a chunk must hold at least one action")
    findings.expect(bool(np.isfinite(actions).all()), "actions must be finite")
    findings.expect(chunk.period_s > 0, f"period_s must be positive, is {chunk.period_s}")


def _check_purity(policy: Policy, findings: Findings) -> None:
    """Equal arguments give equal results, whatever happened in between."""
    rng = stream("conformance", "purity")
    observation = draw_all(policy.observation_specs, rng)
    another = draw_all(policy.observation_specs, rng)
    _, state = policy.act(another, policy.initial_state(), stream("conformance", 0))
    given = frozen(observation), frozen(state)
    expected = _act(policy, observation, state)
    findings.expect(
        (frozen(observation), frozen(state)) == given, "act() must not change its arguments"
    )
    _act(policy, another, policy.initial_state())
    findings.expect(
        _act(policy, observation, state) == expected,
        "act() must be a function of its arguments; after another call it gave something else, so "
        "there is memory outside of the state",
    )
    surplus = {**observation, "conformance.surplus": np.zeros(3, np.float32)}
    with findings.rule("surplus observation keys must be ignored"):
        findings.expect(
            _act(policy, surplus, state) == expected,
            "surplus observation keys must be ignored; one changed the result",
        )


def _act(policy: Policy, observation: Observation, state: State) -> Frozen:
    chunk, following = policy.act(observation, state, stream("conformance", 1))
    return chunk.actions.tobytes(), chunk.period_s, frozen(following)
