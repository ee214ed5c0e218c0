"""One error tree; every message says what to do."""

import errno
import inspect
import re

import pytest

from steadyhand.contracts import errors
from steadyhand.contracts.catalog import lookup
from steadyhand.contracts.errors import (
    ConformanceError,
    MissingExtraError,
    SteadyError,
    StorageError,
    UnknownNameError,
    UsageError,
    storage_error,
)

CLASSES = {
    name: kind
    for name, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, SteadyError)
}


def test_the_drawing_of_the_tree_is_the_tree():
    """Name, parent and exit code of each line, as the code has them."""
    drawn, parents = {"SteadyError": ("Exception", 1)}, ["SteadyError"]
    for line in errors.__doc__.splitlines():
        found = re.match(r"(│   |)(├|└)── (\w+)(?:\s+exit (\d+))?", line)
        if found:
            is_inner, name, code = bool(found[1]), found[3], found[4]
            parent = parents[-1] if is_inner else "SteadyError"
            drawn[name] = (parent, int(code) if code else drawn[parent][1])
            if not is_inner:
                parents.append(name)
    actual = {name: (kind.__bases__[0].__name__, kind.exit_code) for name, kind in CLASSES.items()}
    assert drawn == actual


def test_the_nearest_name_is_offered():
    with pytest.raises(UnknownNameError, match="unknown policy 'chunkin'; did you mean 'chunking'"):
        lookup("policy", "chunkin", {"chunking": 1, "other": 2})
    with pytest.raises(UsageError, match="unknown policy 'zzz'; known: chunking, other"):
        lookup("policy", "zzz", {"other": 2, "chunking": 1})
    assert lookup("policy", "other", {"other": 2}) == 2


def test_a_missing_extra_names_its_command():
    assert "pip install 'steadyhand[sim]'" in str(MissingExtraError("mujoco", "sim"))


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.ENOSPC, "the disk is full; free space"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EACCES, "no permission; choose a directory"),
        (errno.EROFS, "the file system is read-only"),
        (errno.ENOENT, "no such file or directory; check the path"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_an_error_of_the_system_names_what_failed_where_and_the_fix(number, fix):
    error = storage_error(OSError(number, "Input/output error", "/data/x"), "writing episode 3")
    assert isinstance(error, StorageError)
    assert str(error).startswith(f"writing episode 3 failed at '/data/x': {fix}")
    assert "what was committed before is intact" in str(error)


def test_an_error_of_the_system_without_path_or_number_is_still_told():
    assert str(storage_error(OSError("odd"), "writing")).startswith("writing failed: odd;")


def test_a_conformance_error_lists_every_violation():
    error = ConformanceError("robot X", ["a must be b", "c must be d"])
    assert error.violations == ("a must be b", "c must be d")
    assert str(error) == "robot X breaks its contract:\n- a must be b\n- c must be d"
