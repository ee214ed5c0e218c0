"""Samples: single inputs of a policy, drawn from recorded arrays, and what each part sees of them.

A sample maps observation keys and state keys to arrays without a batch dimension. The caller
decides which rows may be drawn from (calibration: the training split, and nothing else).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.engine import Engine
from steadyhand.contracts.errors import DataError
from steadyhand.contracts.seeds import stream
from steadyhand.contracts.specs import Arrays

Sample = Mapping[str, NDArray[Any]]


def draw_samples(columns: Arrays, count: int, seed: int, purpose: str) -> list[Sample]:
    """Draw rows without replacement.

    Args:
        columns: Arrays of shape (N, ...) by observation key or state key.
        count: Number of samples.
        seed: Seed of the draw.
        purpose: What they are for, e.g. ``calibration``; other purposes draw other rows.

    Returns:
        ``count`` samples in the order of their rows.

    Raises:
        DataError: If the columns disagree in length or hold fewer rows.
    """
    lengths = {name: len(column) for name, column in columns.items()}
    num_rows = min(lengths.values(), default=0)
    if len(set(lengths.values())) > 1 or num_rows < count:
        raise DataError(
            f"cannot draw {count} {purpose} samples from columns of lengths {lengths}; "
            "give equally long columns with at least that many rows, or ask for fewer samples"
        )
    rows = stream("export", purpose, seed).choice(num_rows, size=count, replace=False)
    return [
        {name: np.array(column[row]) for name, column in columns.items()} for row in np.sort(rows)
    ]


def batched(sample: Sample) -> dict[str, NDArray[Any]]:
    """Return a sample with a leading batch dimension of one."""
    return {name: value[None] for name, value in sample.items()}


def run_parts(engines: Iterable[Engine], inputs: Arrays) -> dict[str, NDArray[Any]]:
    """Run parts one after the other; each reads what was given or computed before it.

    Args:
        engines: Loaded graphs in execution order.
        inputs: Arrays with a batch dimension.

    Returns:
        The inputs and every output.

    Raises:
        SpecError: If a value does not fit a graph.
    """
    values: dict[str, NDArray[Any]] = dict(inputs)
    for engine in engines:
        values |= engine.run({name: values[name] for name in engine.input_specs})
    return values


def part_inputs(
    engines: Mapping[str, Engine], samples: Sequence[Sample]
) -> dict[str, list[dict[str, NDArray[Any]]]]:
    """Return what each part is fed for the samples: the calibration inputs of that part.

    Args:
        engines: fp32 engines by part name, in execution order.
        samples: Inputs of the whole policy.
    """
    fed: dict[str, list[dict[str, NDArray[Any]]]] = {name: [] for name in engines}
    for sample in samples:
        values = run_parts(engines.values(), batched(sample))
        for name, engine in engines.items():
            fed[name].append({key: values[key] for key in engine.input_specs})
    return fed
