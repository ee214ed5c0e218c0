"""Rules of :class:`steadyhand.contracts.engine.Engine`."""

import numpy as np

from steadyhand.contracts.bundle import PRECISIONS
from steadyhand.contracts.conformance.findings import Findings, frozen
from steadyhand.contracts.conformance.sampling import draw_all
from steadyhand.contracts.engine import Engine
from steadyhand.contracts.errors import SpecError
from steadyhand.contracts.seeds import stream
from steadyhand.contracts.specs import validate_arrays


def check_engine(engine: Engine) -> None:
    """Try every rule of an engine on inputs drawn from its specs.

    Args:
        engine: A loaded graph.

    Raises:
        ConformanceError: Lists the rules that do not hold.
    """
    findings = Findings(f"engine {type(engine).__name__}")
    findings.expect(
        engine.precision in PRECISIONS, f"precision must be one of {PRECISIONS}: {engine.precision}"
    )
    with findings.rule("run()"):
        _check_runs(engine, findings)
    with findings.rule("inputs that do not fit"):
        _check_bad_inputs(engine, findings)
    findings.raise_if_any()


def _check_runs(engine: Engine, findings: Findings) -> None:
    rng = stream("conformance", "engine")
    inputs, another = draw_all(engine.input_specs, rng), draw_all(engine.input_specs, rng)
    given = frozen(inputs)
    outputs = engine.run(inputs)
    with findings.rule("outputs must fit output_specs"):
        validate_arrays(engine.output_specs, outputs, "outputs")
    findings.expect(frozen(inputs) == given, "run() must not change its inputs")
    expected = frozen(outputs)
    engine.run(another)
    findings.expect(
        frozen(outputs) == expected, "outputs must not be overwritten by the next run; copy them"
    )
    findings.expect(
        frozen(engine.run(inputs)) == expected, "the same inputs must give the same bytes"
    )


def _check_bad_inputs(engine: Engine, findings: Findings) -> None:
    good = draw_all(engine.input_specs, stream("conformance", "bad"))
    for name, spec in engine.input_specs.items():
        with findings.raises(f"input {name!r} missing", SpecError):
            engine.run({k: v for k, v in good.items() if k != name})
        with findings.raises(f"input {name!r} of the wrong shape", SpecError):
            engine.run({**good, name: np.zeros((*spec.shape, 2), spec.dtype)})
        other = np.float64 if spec.dtype != "float64" else np.float32
        with findings.raises(f"input {name!r} of the wrong type", SpecError):
            engine.run({**good, name: good[name].astype(other)})
