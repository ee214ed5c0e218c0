"""Rules of :class:`steadyhand.contracts.environment.Environment`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from steadyhand.contracts.conformance.findings import Findings, frozen
from steadyhand.contracts.conformance.sampling import draw
from steadyhand.contracts.environment import Environment, Step
from steadyhand.contracts.errors import SpecError
from steadyhand.contracts.seeds import stream
from steadyhand.contracts.specs import validate_arrays

_PLAIN = (float, int, str, bool)


@dataclass(frozen=True, slots=True)
class _Trace:
    """What an episode gave: everything that its name must decide."""

    facts: Mapping[str, Any]
    first: Mapping[str, Any]
    last: Mapping[str, Any]
    steps: tuple[tuple[Any, ...], ...]


def check_environment(
    make: Callable[[], Environment], *, num_steps: int = 20, max_steps: int = 2000
) -> None:
    """Try every rule of an environment with random actions.

    Args:
        make: Makes a fresh environment; called twice.
        num_steps: Steps of the episodes that are compared byte by byte.
        max_steps: An episode must be over by then.

    Raises:
        ConformanceError: Lists the rules that do not hold.
    """
    environment, other = make(), make()
    findings = Findings(f"environment {environment.task!r}")
    try:
        with findings.rule("declarations"):
            _check_declarations(environment, findings)
        with findings.rule("same name, same bytes"):
            _check_determinism(environment, other, num_steps, findings)
        with findings.rule("observations"):
            _check_observations(environment, findings)
        with findings.rule("actions that do not fit"):
            _check_bad_actions(environment, other, findings)
        with findings.rule("the end of an episode"):
            _check_end(environment, max_steps, findings)
    finally:
        for opened in (environment, other):
            with findings.rule("close() twice"):
                opened.close()
                opened.close()
    findings.raise_if_any()


def _check_declarations(environment: Environment, findings: Findings) -> None:
    findings.expect(bool(environment.task), "task must be a name")
    version = environment.task_version
    findings.expect(version >= 0, f"task_version must not be negative, is {version}")
    period_s = environment.step_period_s
    findings.expect(period_s > 0, f"step_period_s must be positive, is {period_s}")
    findings.expect(bool(environment.observation_specs), "observation_specs must not be empty")


def _check_determinism(
    environment: Environment, other: Environment, num_steps: int, findings: Findings
) -> None:
    expected = _run(environment, 1, 2, num_steps, observe=True, findings=findings)
    _run(other, 3, 4, 3, observe=True, findings=findings)
    again = _run(other, 1, 2, num_steps, observe=True, findings=findings)
    findings.expect(
        again == expected,
        "the bytes of an episode must depend on (seed, index) only; another instance that had "
        "run another episode before gave other ones",
    )
    unseen = _run(environment, 1, 2, num_steps, observe=False, findings=findings)
    findings.expect(
        unseen == expected, "observe() must change nothing; without it the episode went another way"
    )


def _run(
    environment: Environment,
    seed: int,
    index: int,
    num_steps: int,
    *,
    observe: bool,
    findings: Findings,
) -> _Trace:
    facts = dict(environment.reset(seed, index))
    _check_plain("a fact from reset()", facts, findings)
    first = frozen(environment.observe())
    rng = stream("conformance", seed, index)
    steps: list[tuple[Any, ...]] = []
    for _ in range(num_steps):
        step = environment.step(draw(environment.action_spec, rng))
        _check_step(step, findings)
        steps.append((step.reward, step.terminated, step.truncated, step.is_success))
        if observe:
            environment.observe()
        if step.is_last:
            break
    return _Trace(facts, first, frozen(environment.observe()), tuple(steps))


def _check_step(step: Step, findings: Findings) -> None:
    findings.expect(bool(np.isfinite(step.reward)), f"a reward must be finite, is {step.reward}")
    findings.expect(
        not (step.terminated and step.truncated),
        "terminated and truncated must not be set together",
    )
    _check_plain("info of a step", step.info, findings)


def _check_plain(where: str, values: Mapping[str, Any], findings: Findings) -> None:
    for name, value in values.items():
        # Exact types: numpy's look alike but are not plain JSON.
        findings.expect(
            type(value) in _PLAIN,
            f"{where} must be a plain value, {name!r} is a {type(value).__name__}",
        )


def _check_observations(environment: Environment, findings: Findings) -> None:
    environment.reset(1, 2)
    first = environment.observe()
    with findings.rule("observe() must fit observation_specs"):
        validate_arrays(environment.observation_specs, first, "observation")
    before = frozen(first)
    findings.expect(
        frozen(environment.observe()) == before, "observe() twice must give the same bytes"
    )
    rng = stream("conformance", "observations")
    for _ in range(3):
        environment.step(draw(environment.action_spec, rng))
        latest = environment.observe()
        with findings.rule("observe() must fit observation_specs"):
            validate_arrays(environment.observation_specs, latest, "observation")
    findings.expect(
        frozen(first) == before, "an observation must not change after it was returned; copy it"
    )


def _check_bad_actions(environment: Environment, other: Environment, findings: Findings) -> None:
    """An action that is refused must leave the episode as it was."""
    spec = environment.action_spec
    for each in (environment, other):
        each.reset(5, 6)
    good = draw(spec, stream("conformance", "good"))
    with findings.raises("an action of the wrong shape", SpecError):
        environment.step(np.zeros((*spec.shape, 2), spec.dtype))
    if np.dtype(spec.dtype).kind == "f":
        with findings.raises("an action of NaN", SpecError):
            environment.step(np.full(spec.shape, np.nan, spec.dtype))
    for each in (environment, other):
        each.step(good)
    findings.expect(
        frozen(environment.observe()) == frozen(other.observe()),
        "an action that was refused must change nothing",
    )


def _check_end(environment: Environment, max_steps: int, findings: Findings) -> None:
    environment.reset(7, 8)
    rng = stream("conformance", "end")
    is_over = any(
        environment.step(draw(environment.action_spec, rng)).is_last for _ in range(max_steps)
    )
    findings.expect(is_over, f"an episode must end; this one ran for {max_steps} steps")
