"""Write the metrics of a run as TensorBoard event files, afterwards, from ``metrics.jsonl``."""

from pathlib import Path

from steadyhand.contracts.errors import MissingExtraError
from steadyhand.jobs.metrics import read_metrics


def write_events(metrics: Path, target: Path) -> int:
    """Write one event file per stage.

    Args:
        metrics: A ``metrics.jsonl``.
        target: Log directory; one directory per stage is written below it.

    Returns:
        How many numbers were written.

    Raises:
        MissingExtraError: If TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard.writer import SummaryWriter  # noqa: PLC0415  an extra
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "tensorboard", "tensorboard") from error
    lines = read_metrics(metrics)
    count = 0
    for stage in sorted({line["stage"] for line in lines}):
        writer = SummaryWriter(str(target / stage))
        for line in lines:
            if line["stage"] != stage:
                continue
            for name, value in line["values"].items():
                if value is not None:
                    writer.add_scalar(name, value, line["step"])
                    count += 1
        writer.close()
    return count
