"""Read plain values into the frozen dataclass of the thing they configure.

It knows pydantic, so that the packages below need not; it knows no recipe and no stage.
"""

import dataclasses
import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from steadyhand.contracts.errors import RecipeError

T = TypeVar("T")


def read_config(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """Check plain values against a dataclass and build it.

    Args:
        kind: A dataclass; its annotations are the schema, its ``__post_init__`` the checks.
        values: Plain values as TOML or JSON gives them; nested tables are nested dataclasses.
        where: Place named in messages, e.g. ``"recipes/demo.toml: stages.train"``.

    Returns:
        The configuration, with defaults filled in.

    Raises:
        RecipeError: On an unknown key (names the nearest known one), a missing key or a wrong
            type (names the key, what was given and what was expected), or a refused value.
    """
    refuse_unknown_keys(kind, values, where)
    try:
        text = json.dumps(values, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise RecipeError(
            f"{where}: {error}; use numbers, strings, booleans, lists and tables only"
        ) from error
    try:
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        raise RecipeError("\n".join(_messages(error, where))) from error


def refuse_unknown_keys(kind: object, values: Mapping[str, Any], where: str) -> None:
    """Compare the keys of a table with the fields of a dataclass, nested tables included.

    Raises:
        RecipeError: On the first key that is no field, with the nearest one that is.
    """
    hints = _field_types(kind)
    if hints is None:
        return
    for key, value in values.items():
        if key not in hints:
            raise unknown_key(where, key, hints)
        if isinstance(value, Mapping):
            refuse_unknown_keys(hints[key], value, f"{where}.{key}")
        elif isinstance(value, list):
            for position, item in enumerate(value):
                if isinstance(item, Mapping):
                    refuse_unknown_keys(hints[key], item, f"{where}.{key}[{position}]")


def unknown_key(where: str, key: str, known: Mapping[str, object]) -> RecipeError:
    """Return the error for a key that nothing reads."""
    near = difflib.get_close_matches(key, list(known), n=1)
    hint = f"did you mean {near[0]!r}?" if near else "known keys: " + ", ".join(sorted(known))
    return RecipeError(f"{where}: unknown key {key!r}; {hint}")


def plain(config: object) -> Any:
    """Return a configuration as plain JSON values (tuples become lists)."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return plain(dataclasses.asdict(config))
    if isinstance(config, Mapping):
        return {key: plain(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [plain(value) for value in config]
    return config


def _field_types(kind: object) -> dict[str, Any] | None:
    """Return the field types of a dataclass, also where it is optional or in a tuple."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return {f.name: hints[f.name] for f in dataclasses.fields(kind) if f.init}
    for argument in get_args(kind):
        found = _field_types(argument)
        if found is not None:
            return found
    return None


def _messages(error: ValidationError, where: str) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        place = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "missing":
            yield f"{where}: missing key {place!r}; it has no default"
            continue
        message = problem["msg"].removeprefix("Input ").removeprefix("Value error, ")
        given = problem["input"]
        name = f"{place!r} " if place else ""
        yield f"{where}: {name}{message}; given {given!r} ({type(given).__name__})"
