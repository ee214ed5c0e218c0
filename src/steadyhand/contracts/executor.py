"""Executors: run independent units of work somewhere, and give the results back in order."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Executor(Protocol):
    """Runs units on processes of this machine or elsewhere. Losing a worker loses no unit."""

    @property
    def num_workers(self) -> int:
        """How many units run at a time."""
        ...

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield ``function(item)`` in the order of ``items``, as they become ready.

        Args:
            function: A picklable function (module level, or a frozen dataclass with ``__call__``);
                a pure function of its item, because a unit may be executed again.
            items: Picklable values.

        Raises:
            StageError: If a unit failed on every attempt, with the last failure inside. A
                SteadyError raised by the function itself is re-raised unchanged, at once.
        """
        ...

    def close(self) -> None:
        """Stop the workers; calling it twice is fine."""
        ...
