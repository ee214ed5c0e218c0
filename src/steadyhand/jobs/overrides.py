"""Overrides from the command line: ``--set train.steps=1500`` changes one value of a recipe."""

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from steadyhand.contracts.errors import RecipeError, UnknownNameError

TOP_LEVEL = ("name", "seed")


def apply_overrides(document: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a recipe document with single values replaced.

    Args:
        document: The parsed recipe; it is not changed.
        overrides: Texts like ``train.steps=1500``, ``evaluate.task="pick_place-plain"`` or
            ``seed=3``. The value is TOML; what is no TOML value is taken as a string.

    Raises:
        RecipeError: If an override has no ``=``, or goes into something that is no table.
        UnknownNameError: If it names a stage the recipe does not have.
    """
    result: dict[str, Any] = _copy(document)
    stages = result.get("stages", {})
    for override in overrides:
        path, separator, text = override.partition("=")
        if not separator or not path.strip():
            raise RecipeError(
                f"override {override!r} is not KEY=VALUE; write for example --set train.steps=1500"
            )
        keys = path.strip().split(".")
        if len(keys) == 1:
            if keys[0] not in TOP_LEVEL:
                raise RecipeError(
                    f"override {override!r}: {keys[0]!r} names no value; write STAGE.KEY=VALUE "
                    f"with one of the stages {', '.join(sorted(stages))}, or one of {TOP_LEVEL}"
                )
            result[keys[0]] = read_value(text)
            continue
        if keys[0] not in stages:
            raise UnknownNameError("stage", keys[0], stages)
        _put(stages[keys[0]], keys[1:], read_value(text), override)
    return result


def read_settings(overrides: Sequence[str]) -> dict[str, Any]:
    """Return texts like ``policy.head="mlp"`` as a nested table, for verbs without a recipe.

    Raises:
        RecipeError: If one has no ``=``, or goes into something that is no table.
    """
    result: dict[str, Any] = {}
    for override in overrides:
        path, separator, text = override.partition("=")
        if not separator or not path.strip():
            raise RecipeError(
                f"setting {override!r} is not KEY=VALUE; write for example steps=1500"
            )
        _put(result, path.strip().split("."), read_value(text), override)
    return result


def _put(table: dict[str, Any], keys: Sequence[str], value: Any, override: str) -> None:
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise RecipeError(f"override {override!r}: {key!r} is a value, not a table")
    table[keys[-1]] = value


def read_value(text: str) -> Any:
    """Read a TOML value; anything else is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return list(value) if isinstance(value, list) else value
