"""Progress and metrics as data: long work reports, somebody else prints or stores."""

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Where long work says how far it is."""

    def update(self, phase: str, done: int, total: int, unit: str) -> None:
        """Report ``done`` of ``total`` units (``episodes``, ``steps``) of a named phase."""
        ...

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Record numbers at a step; they end up in ``metrics.jsonl``."""
        ...

    def say(self, message: str) -> None:
        """Tell the user one line that matters, e.g. that a torn episode was dropped."""
        ...


class Silent:
    """Progress that goes nowhere: for tests and library use."""

    def update(self, phase: str, done: int, total: int, unit: str) -> None:
        """Ignore it."""

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Ignore them."""

    def say(self, message: str) -> None:
        """Ignore it."""
