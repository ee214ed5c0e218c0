"""Collect violations of a contract, so that one run shows all of them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from steadyhand.contracts.errors import ConformanceError


class Findings:
    """The violations found so far.

    Args:
        subject: What is checked, for the message.
    """

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self._violations: list[str] = []

    def expect(self, is_met: bool, violation: str) -> None:
        """Note a violation unless the rule is met; the same one is noted once."""
        if not is_met and violation not in self._violations:
            self._violations.append(violation)

    @contextmanager
    def rule(self, name: str) -> Iterator[None]:
        """Turn an exception inside the block into a violation of the named rule."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever an implementation raises is a finding
            self.expect(False, f"{name}: raised {type(error).__name__}: {error}")

    @contextmanager
    def raises(self, name: str, kind: type[Exception]) -> Iterator[None]:
        """Note a violation unless the block raises this kind of exception."""
        try:
            yield
        except kind:
            return
        except Exception as error:  # noqa: BLE001 - the wrong exception is a finding
            self.expect(
                False,
                f"{name}: must raise {kind.__name__}, raised {type(error).__name__}: {error}",
            )
        else:
            self.expect(False, f"{name}: must raise {kind.__name__}, raised nothing")

    def raise_if_any(self) -> None:
        """Raise what was found.

        Raises:
            ConformanceError: If a rule does not hold.
        """
        if self._violations:
            raise ConformanceError(self.subject, self._violations)


def frozen(arrays: Mapping[str, NDArray[Any]]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Return arrays as values that compare by their bytes, so that NaN equals NaN.

    Args:
        arrays: Arrays by name.

    Returns:
        Type, shape and bytes by name.
    """
    return {k: (str(a.dtype), a.shape, a.tobytes()) for k, a in arrays.items()}
