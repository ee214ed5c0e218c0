"""The one error tree. It knows messages and exit codes, nothing about who prints them.

SteadyError
├── UsageError          exit 2   the request is wrong: recipe, flag, name, configuration
│   ├── RecipeError              a recipe file: unknown key, wrong type, broken reference
│   └── UnknownNameError         a name that is in no catalog, with the nearest match
├── DataError           exit 3   bytes or values are wrong: damaged, mismatched, not finite
│   ├── SpecError                a value does not fit its declared spec
│   ├── DatasetError             a dataset directory is damaged or inconsistent
│   └── IntegrityError           a hash or a signature does not match
├── RefusedError        exit 4   a gate said no: quality, parity, success, signature policy
├── MachineError        exit 5   the machine cannot do it: disk full, permission, no GL
│   ├── StorageError             reading or writing files failed
│   ├── RenderingError           no OpenGL for offscreen rendering
│   └── MissingExtraError        an optional package is not installed
├── StageError          exit 6   a stage failed after its retries, or a process died
└── ConformanceError    exit 1   an implementation breaks the contract it claims to implement

Every message says what was given, what was expected and what to do.
"""

import difflib
import errno
import os
from collections.abc import Iterable


class SteadyError(Exception):
    """Root of every error raised on purpose by this package."""

    exit_code: int = 1


class UsageError(SteadyError):
    """The request is wrong; nothing was started."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe file cannot be used as written."""


class UnknownNameError(UsageError):
    """A name that no catalog holds."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(names)
        super().__init__(f"unknown {kind} {name!r}; {hint}")
        self.known = tuple(names)


class DataError(SteadyError):
    """Bytes or values are wrong."""

    exit_code = 3


class SpecError(DataError):
    """A value does not fit its declared spec."""


class DatasetError(DataError):
    """A dataset directory is damaged or inconsistent."""


class IntegrityError(DataError):
    """A hash or a signature does not match the bytes."""


class RefusedError(SteadyError):
    """A gate said no; the evidence is in the message."""

    exit_code = 4


class MachineError(SteadyError):
    """The machine cannot do what was asked."""

    exit_code = 5


class StorageError(MachineError):
    """Reading or writing files failed."""


class RenderingError(MachineError):
    """There is no OpenGL for offscreen rendering."""


class MissingExtraError(MachineError):
    """An optional dependency is not installed.

    Args:
        package: Import name that failed, e.g. ``mujoco``.
        extra: The extra that brings it, e.g. ``sim``.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package!r} is not installed; install it with: pip install 'steadyhand[{extra}]'"
        )


class StageError(SteadyError):
    """A stage failed after its retries."""

    exit_code = 6


class ConformanceError(SteadyError):
    """An implementation breaks the contract it claims to implement.

    Args:
        subject: What was checked, e.g. ``environment 'pick_place-hard'``.
        violations: One sentence for each rule that does not hold.
    """

    def __init__(self, subject: str, violations: Iterable[str]) -> None:
        self.violations = tuple(violations)
        rows = "".join(f"\n- {violation}" for violation in self.violations)
        super().__init__(f"{subject} breaks its contract:{rows}")


def storage_error(error: OSError, doing: str) -> StorageError:
    """Turn an operating-system error into one that names the path and the fix.

    Args:
        error: What the operating system said.
        doing: What was attempted, e.g. ``"writing episode 3"``.

    Returns:
        The error to raise (``raise storage_error(e, "...") from e``).
    """
    where = f" at {os.fspath(error.filename)!r}" if error.filename else ""
    fixes = {
        errno.ENOSPC: "the disk is full; free space or choose another directory, then run again",
        errno.EDQUOT: "the disk quota is used up; free space, then run again",
        errno.EACCES: "no permission; choose a directory you can write to",
        errno.EPERM: "not permitted; choose a directory you can write to",
        errno.EROFS: "the file system is read-only; choose another directory",
        errno.ENOENT: "no such file or directory; check the path",
    }
    fix = fixes.get(error.errno or 0, error.strerror or str(error))
    return StorageError(f"{doing} failed{where}: {fix}; what was committed before is intact")
