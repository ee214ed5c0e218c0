"""Numbers over steps, as lines of JSON that are appended and never repeated.

A stage that resumes reports steps again that it reported before it was killed; their values are
equal, because resume is exact, so the first report of a step is kept.
"""

import errno
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from steadyhand.contracts.errors import storage_error


class MetricLog:
    """An append-only file of ``{"stage", "step", "values"}`` lines.

    Args:
        path: The file; a torn last line (killed while writing) is dropped.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            _drop_torn_line(path)
            self._known = {(line["stage"], line["step"]) for line in read_metrics(path)}
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise storage_error(error, "opening metrics") from error

    def append(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Add one step of a stage, unless it is there already.

        Args:
            stage: Name of the stage.
            step: Step the numbers belong to.
            values: Numbers; what is not finite is stored as null, which JSON has.

        Raises:
            StorageError: If it cannot be written.
        """
        if (stage, step) in self._known:
            return
        finite = {k: float(v) if math.isfinite(v) else None for k, v in values.items()}
        line = json.dumps({"stage": stage, "step": step, "values": finite}, sort_keys=True)
        try:
            # One write of a whole line: a reader sees it entirely or not at all.
            data = line.encode() + b"\n"
            if os.write(self._descriptor, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301
        except OSError as error:
            raise storage_error(error, f"writing metrics to {str(self._path)!r}") from error
        self._known.add((stage, step))

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a metric file; a missing file has none, a torn last line is skipped."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    whole, _, _ = text.rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def _drop_torn_line(path: Path) -> None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)
