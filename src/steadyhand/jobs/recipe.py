"""A recipe: a complete run as one file. It reads in full; none inherits from another.

schema = 1
name = "demo"
seed = 7

[stages.collect]
kind = "collect"
task = "pick_place-hard"

[stages.check]
kind = "check"
dataset = "collect"          # an input: the name of a stage, or {path = "directory"}
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steadyhand.contracts.catalog import lookup
from steadyhand.contracts.errors import RecipeError, UnknownNameError, storage_error
from steadyhand.jobs.configuration import plain, read_config, unknown_key
from steadyhand.jobs.overrides import apply_overrides
from steadyhand.jobs.stage import Catalog
from steadyhand.store.canonical import canonical_json, digest

SCHEMA = 1
TOP_LEVEL = ("schema", "name", "seed", "stages")


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage of a recipe.

    Args:
        name: Its name in the recipe.
        kind: Its kind in the catalog.
        inputs: By slot, the name of the stage that makes it, or the directory it lies in.
        config: The dataclass of its kind, with defaults filled in.
    """

    name: str
    kind: str
    inputs: Mapping[str, str | Path]
    config: object

    def to_json(self) -> dict[str, Any]:
        """Return the stage as plain values, defaults included."""
        inputs = {
            slot: {"path": str(source)} if isinstance(source, Path) else source
            for slot, source in self.inputs.items()
        }
        return {"kind": self.kind, **inputs, **plain(self.config)}


@dataclass(frozen=True, slots=True)
class Recipe:
    """A run as it will be executed.

    Args:
        name: Name for people; part of the run directory's name.
        seed: Seed of everything.
        stages: Stages in an order in which inputs come first.
    """

    name: str
    seed: int
    stages: tuple[StageSpec, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the resolved recipe: every value it will run with."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "seed": self.seed,
            "stages": {stage.name: stage.to_json() for stage in self.stages},
        }

    @property
    def digest(self) -> str:
        """Digest of the resolved recipe."""
        return digest(canonical_json(self.to_json()))


def read_recipe(path: Path, catalog: Catalog, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe file; nothing is started when it is wrong.

    Args:
        path: A TOML file.
        catalog: The kinds of stages there are.
        overrides: Texts like ``train.steps=1500``.

    Raises:
        RecipeError: If the file is missing, is no TOML, or says something that cannot be run.
        UnknownNameError: On a kind or a stage that does not exist, with the nearest one.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        near = sorted(str(p) for p in path.parent.glob("*.toml")) if path.parent.is_dir() else []
        hint = f"; recipes there: {', '.join(near)}" if near else ""
        raise RecipeError(f"recipe {str(path)!r} does not exist{hint}") from error
    except OSError as error:
        raise storage_error(error, f"reading recipe {str(path)!r}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {str(path)!r} is not valid TOML: {error}") from error
    return build_recipe(
        apply_overrides(document, overrides), catalog, where=str(path), root=path.parent
    )


def build_recipe(document: Mapping[str, Any], catalog: Catalog, where: str, root: Path) -> Recipe:
    """Check a parsed recipe.

    Args:
        document: Plain values as TOML gives them.
        catalog: The kinds of stages there are.
        where: Name of the source for messages.
        root: Directory that relative input paths start from.

    Raises:
        RecipeError: If it says something that cannot be run.
        UnknownNameError: On a kind or a stage that does not exist, with the nearest one.
    """
    for key in document:
        if key not in TOP_LEVEL:
            raise unknown_key(where, key, dict.fromkeys(TOP_LEVEL))
    if document.get("schema") != SCHEMA:
        raise RecipeError(
            f"{where}: 'schema' is {document.get('schema')!r}; this version reads schema = {SCHEMA}"
        )
    name, seed, tables = (document.get(key) for key in ("name", "seed", "stages"))
    if not isinstance(name, str) or not name or not name.replace("-", "_").isidentifier():
        raise RecipeError(
            f"{where}: 'name' must be a word of letters, digits, - and _, given {name!r}"
        )
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**31:
        raise RecipeError(f"{where}: 'seed' must be an integer from 0 to 2^31 - 1, given {seed!r}")
    if not isinstance(tables, Mapping) or not tables:
        raise RecipeError(f"{where}: there is no [stages.NAME] table; a recipe needs one at least")
    stages = {key: _read_stage(key, tables, catalog, where, root) for key in tables}
    return Recipe(name, seed, _in_order(stages, where))


def _read_stage(
    name: str, tables: Mapping[str, Any], catalog: Catalog, where: str, root: Path
) -> StageSpec:
    table = tables[name]
    place = f"{where}: stages.{name}"
    if not isinstance(table, Mapping):
        raise RecipeError(f"{place} must be a table, given {table!r}")
    if not name.replace("-", "_").isidentifier():
        raise RecipeError(f"{place}: a stage's name is a word of letters, digits, - and _")
    values = dict(table)
    kind = values.pop("kind", None)
    if not isinstance(kind, str):
        raise RecipeError(f"{place}: 'kind' must be one of {', '.join(catalog)}; given {kind!r}")
    stage = lookup("stage kind", kind, catalog)
    inputs: dict[str, str | Path] = {}
    for slot, wanted in stage.slots.items():
        if slot in values:
            source = _read_source(values.pop(slot), f"{place}.{slot}", root)
            if isinstance(source, str):
                _check_source(source, wanted.accepts, tables, f"{place}.{slot}")
            inputs[slot] = source
        elif wanted.is_required:
            raise RecipeError(
                f"{place}: missing input {slot!r}; name a stage of kind "
                f"{' or '.join(wanted.accepts)}, or give {{path = 'directory'}}"
            )
    known = {*stage.slots, *stage.config.__dataclass_fields__, "kind"}
    for key in values:
        if key not in known:
            raise unknown_key(place, key, dict.fromkeys(known))
    return StageSpec(name, kind, inputs, read_config(stage.config, values, place))


def _read_source(value: object, place: str, root: Path) -> str | Path:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping) and set(value) == {"path"} and isinstance(value["path"], str):
        path = (root / value["path"]).resolve()
        if not path.is_dir():
            raise RecipeError(f"{place}: directory {str(path)!r} does not exist")
        return path
    raise RecipeError(
        f"{place} must be the name of a stage or {{path = 'directory'}}, given {value!r}"
    )


def _check_source(
    source: str, accepts: tuple[str, ...], tables: Mapping[str, Any], place: str
) -> None:
    if source not in tables:
        raise RecipeError(f"{place}: {UnknownNameError('stage', source, tables)}")
    table = tables[source]
    kind = table.get("kind") if isinstance(table, Mapping) else None
    if kind not in accepts:
        raise RecipeError(
            f"{place}: stage {source!r} is of kind {kind!r}; expected {' or '.join(accepts)}"
        )


def _in_order(stages: Mapping[str, StageSpec], where: str) -> tuple[StageSpec, ...]:
    """Sort stages so that inputs come first, otherwise as written.

    Raises:
        RecipeError: If stages wait for one another, naming the cycle.
    """
    done: dict[str, StageSpec] = {}
    path: list[str] = []

    def visit(name: str) -> None:
        if name in done:
            return
        if name in path:
            cycle = " -> ".join([*path[path.index(name) :], name])
            raise RecipeError(f"{where}: stages wait for one another: {cycle}")
        path.append(name)
        for source in stages[name].inputs.values():
            if isinstance(source, str):
                visit(source)
        path.pop()
        done[name] = stages[name]

    for name in stages:
        visit(name)
    return tuple(done.values())
