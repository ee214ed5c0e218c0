"""Build every precision of every part, and ask the engine what it makes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from steadyhand.contracts.engine import Engine
from steadyhand.export.effective import read_effective_precision
from steadyhand.export.quantise import QuantisationConfig, convert_fp16, quantise_int8
from steadyhand.export.samples import Sample, part_inputs
from steadyhand.runtime.engines.onnxruntime_engine import OnnxRuntimeEngine


@dataclass(frozen=True, slots=True)
class Variant:
    """One part in one precision.

    Args:
        part: Part name.
        precision: What was asked for.
        path: The graph.
        is_offered: Whether the engine executes it in that precision.
        effective: What it executes, in words.
    """

    part: str
    precision: str
    path: Path
    is_offered: bool
    effective: str


def load_engines(paths: Mapping[str, Path]) -> dict[str, Engine]:
    """Load graphs by part name, each on one thread.

    Args:
        paths: Graph by part name, in execution order.
    """
    return {part: OnnxRuntimeEngine(path, num_threads=1) for part, path in paths.items()}


def build_variants(
    parts: Mapping[str, Path],
    calibration: Sequence[Sample],
    directory: Path,
    config: QuantisationConfig,
) -> tuple[Variant, ...]:
    """Write the reduced precisions of each part beside its fp32 graph.

    Args:
        parts: fp32 graphs by part name, in execution order.
        calibration: Samples of the training split.
        directory: Where to write ``<part>-<precision>.onnx``.
        config: How to quantise.

    Returns:
        fp32, fp16 and int8 of each part, whether the engine offers them or not.
    """
    directory.mkdir(parents=True, exist_ok=True)
    fed = part_inputs(load_engines(parts), calibration)
    variants = []
    for part, source in parts.items():
        half, quantised = (directory / f"{part}-{p}.onnx" for p in ("fp16", "int8"))
        convert_fp16(source, half)
        quantise_int8(source, fed[part], quantised, config)
        for precision, path in (("fp32", source), ("fp16", half), ("int8", quantised)):
            variants.append(inspect(part, precision, path))
    return tuple(variants)


def inspect(part: str, precision: str, path: Path) -> Variant:
    """Return a graph as a variant, with what the engine really executes.

    Args:
        part: Part name.
        precision: What was asked for.
        path: The graph.
    """
    effective = read_effective_precision(path)
    is_offered = effective.precision == precision
    words = (
        effective.describe()
        if is_offered
        else (f"{precision} is not offered by this engine (casts inserted): {effective.describe()}")
    )
    return Variant(part, precision, path, is_offered, words)
