"""Runs of a workspace, read back: list, look up, compare."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steadyhand.contracts.errors import DataError, SteadyError, UnknownNameError
from steadyhand.jobs.run_directory import MANIFEST, StageOutcome
from steadyhand.store.atomic import read_json
from steadyhand.store.manifest import RunManifest, read_manifest


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run directory as it was left.

    Args:
        path: Where it lies.
        manifest: What ran, with what, where.
        recipe: The resolved recipe.
        outcomes: How its stages ended, by name.
    """

    path: Path
    manifest: RunManifest
    recipe: Mapping[str, Any]
    outcomes: Mapping[str, StageOutcome]

    def to_json(self) -> dict[str, Any]:
        """Return plain values for programs."""
        return {
            "run": self.path.name,
            "directory": str(self.path),
            "finished": self.manifest.finished,
            "seed": self.manifest.seed,
            "recipe": self.recipe,
            "versions": dict(self.manifest.versions),
            "host": dict(self.manifest.host),
            "stages": {
                name: {
                    "artifact": outcome.digest,
                    "headline": outcome.headline,
                    "facts": outcome.facts,
                    "seconds": outcome.seconds,
                }
                for name, outcome in self.outcomes.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Change:
    """A value that differs between two runs.

    Args:
        place: Where, e.g. ``recipe.stages.train.training.num_steps``.
        first: Value in the first run; None if it is not there.
        second: Value in the second run.
    """

    place: str
    first: Any
    second: Any


def read_run(path: Path) -> PastRun:
    """Read a run directory.

    Raises:
        DataError: If it is none, or is damaged.
    """
    if not (path / MANIFEST).is_file():
        raise DataError(f"{path} is no run directory: it holds no {MANIFEST}; check the path")
    results = path / "results.json"
    outcomes = read_json(results) if results.exists() else {}
    try:
        stages = {name: StageOutcome(**value) for name, value in outcomes.items()}
    except TypeError as error:
        raise DataError(f"{results} was written by another version ({error}); run again") from error
    return PastRun(path, read_manifest(path / MANIFEST), read_json(path / "recipe.json"), stages)


def list_runs(runs: Path) -> list[PastRun]:
    """Return the readable runs of a workspace, the newest first."""
    found = [p for p in runs.glob("*") if (p / MANIFEST).is_file()] if runs.is_dir() else []
    found.sort(key=lambda p: (p / MANIFEST).stat().st_mtime, reverse=True)
    past: list[PastRun] = []
    for path in found:
        try:
            past.append(read_run(path))
        except SteadyError:  # a run that is being created; it is listed the next time
            continue
    return past


def find_run(name: str, runs: Path) -> PastRun:
    """Return a run by its directory, its name, or the start of its name (the newest such).

    Raises:
        UnknownNameError: If there is none; names the nearest.
    """
    if (Path(name) / MANIFEST).is_file():
        return read_run(Path(name))
    past = list_runs(runs)
    for run in past:
        if run.path.name.startswith(name):
            return run
    raise UnknownNameError("run", name, [run.path.name for run in past])


def compare_runs(first: PastRun, second: PastRun) -> list[Change]:
    """Return every value that differs, except durations: recipe, artifacts, results, machine."""
    return list(_changes("", _comparable(first), _comparable(second)))


def _comparable(run: PastRun) -> dict[str, Any]:
    value = run.to_json()
    del value["run"], value["directory"]
    for stage in value["stages"].values():
        del stage["seconds"]
    return value


def _changes(place: str, first: Any, second: Any) -> Iterator[Change]:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for key in [*first, *(k for k in second if k not in first)]:
            yield from _changes(f"{place}.{key}".lstrip("."), first.get(key), second.get(key))
    elif first != second:
        yield Change(place, first, second)
