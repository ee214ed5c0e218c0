"""How every verb talks: results on stdout (a table or JSON), everything else on stderr."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType


def result_console() -> Console:
    """Return the console for results."""
    return Console(file=sys.stdout, soft_wrap=False)


def progress_console() -> Console:
    """Return the console for progress and messages."""
    return Console(file=sys.stderr, stderr=True)


def show(value: Mapping[str, Any] | Sequence[Any], view: RenderableType, *, as_json: bool) -> None:
    """Print a result.

    Args:
        value: The result as plain values, for programs.
        view: The same for people.
        as_json: Which of both; JSON is one document.
    """
    if as_json:
        sys.stdout.write(json.dumps(value, indent=2, sort_keys=True) + "\n")
    else:
        result_console().print(view, highlight=False)


def print_error(message: str) -> None:
    """Print an error on stderr, whatever the width of the terminal."""
    sys.stderr.write(f"error: {message}\n")
