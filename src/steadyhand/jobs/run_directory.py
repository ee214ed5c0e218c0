"""The directory of one run: what people look at. The artifacts themselves lie in the store.

manifest.json   recipe, seeds, versions, host, inputs by hash; `finished` is written last
recipe.json     the resolved recipe        metrics.jsonl   numbers over steps
outputs.json    hash of every artifact     results.json    headline, facts and duration
log.txt         what happened, in words    <stage>/        files of published stages
"""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from steadyhand.contracts.errors import storage_error
from steadyhand.contracts.progress import Progress
from steadyhand.jobs.metrics import MetricLog
from steadyhand.jobs.recipe import Recipe
from steadyhand.jobs.stage import StageInput
from steadyhand.jobs.workspace import Workspace
from steadyhand.store.atomic import replace_directory, write_json
from steadyhand.store.manifest import (
    RunManifest,
    describe_host,
    describe_versions,
    write_manifest,
)

MANIFEST = "manifest.json"
REPORT = "report.html"


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """How a stage of a run ended.

    Args:
        name: Its name in the recipe.
        kind: Its kind.
        key: Hash of everything that decided its bytes.
        digest: Hash of its artifact.
        measurements: Hash of what was measured, which differs each time; None if nothing was.
        headline: The result in a few words.
        facts: Plain numbers of the result.
        seconds: How long it took when it was executed.
        is_reused: Whether it came from the cache.
    """

    name: str
    kind: str
    key: str
    digest: str
    measurements: str | None
    headline: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    is_reused: bool = False


class RunDirectory:
    """The open directory of a run.

    Args:
        path: Where it lies.
        manifest: What is known at the start.
    """

    def __init__(self, path: Path, manifest: RunManifest) -> None:
        self.path = path
        self._manifest = manifest
        self._outcomes: dict[str, StageOutcome] = {}
        self.metrics = MetricLog(path / "metrics.jsonl")

    @staticmethod
    def create(path: Path, recipe: Recipe, libraries: Sequence[str]) -> "RunDirectory":
        """Create the directory of a recipe, or open it again to continue.

        Raises:
            StorageError: If it cannot be written to.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, "creating a run") from error
        write_json(path / "recipe.json", recipe.to_json())
        manifest = RunManifest(
            name=recipe.name,
            recipe_sha256=recipe.digest,
            seed=recipe.seed,
            versions=describe_versions(["steadyhand", *libraries]),
            host=describe_host(),
        )
        write_manifest(path / MANIFEST, manifest)
        return RunDirectory(path, manifest)

    def log(self, message: str) -> None:
        """Append a line of prose with the time; a full disk does not stop the run here."""
        with suppress(OSError), (self.path / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{_now()} {message}\n")

    def add(self, outcome: StageOutcome, inputs: Mapping[str, StageInput]) -> None:
        """Record how a stage ended."""
        self._outcomes[outcome.name] = outcome
        how = "reused" if outcome.is_reused else f"made in {outcome.seconds:.1f} s"
        given = ", ".join(f"{slot} {value.digest[:12]}" for slot, value in inputs.items())
        self.log(f"{outcome.name}: {outcome.digest[:12]} {how} from ({given}): {outcome.headline}")
        stage = {
            "key": outcome.key,
            "kind": outcome.kind,
            "status": "reused" if outcome.is_reused else "made",
            "inputs": {slot: value.digest for slot, value in inputs.items()},
            "outputs": outcome.digest,
        }
        stages = {**self._manifest.stages, outcome.name: stage}
        self._manifest = replace(self._manifest, stages=stages)
        write_manifest(self.path / MANIFEST, self._manifest)
        write_json(self.path / "outputs.json", {n: o.digest for n, o in self._outcomes.items()})
        write_json(self.path / "results.json", {n: asdict(o) for n, o in self._outcomes.items()})

    def publish(self, outcome: StageOutcome, workspace: Workspace, progress: Progress) -> None:
        """Put a stage's files where people look for them, whole or not at all."""
        target = self.path / outcome.name
        partial = self.path / f".{outcome.name}.partial"
        try:
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(workspace.tree(outcome.digest, progress), partial)
            if outcome.measurements is not None:
                measured = workspace.tree(outcome.measurements, progress)
                shutil.copytree(measured, partial, dirs_exist_ok=True)
            replace_directory(partial, target)
        except OSError as error:
            raise storage_error(error, f"publishing {outcome.name!r}") from error

    @property
    def outcomes(self) -> tuple[StageOutcome, ...]:
        """How its stages ended, in order of execution."""
        return tuple(self._outcomes.values())

    @property
    def report(self) -> Path | None:
        """The HTML report, if a stage of the run made one."""
        found = sorted(self.path.glob(f"*/{REPORT}"))
        return found[0] if found else None

    def finish(self) -> None:
        """Mark the run complete; the last thing that is written."""
        self._manifest = replace(self._manifest, finished=True)
        write_manifest(self.path / MANIFEST, self._manifest)

    def close(self) -> None:
        """Close its files."""
        self.metrics.close()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
