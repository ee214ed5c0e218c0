"""What verbs that work for a while need: workers, a display, a workspace; how results look."""

import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from steadyhand.apps.cli.display import make_display, outcome_table
from steadyhand.apps.cli.terminal import progress_console, show
from steadyhand.contracts.clock import MonotonicClock
from steadyhand.contracts.errors import UnknownNameError, storage_error
from steadyhand.contracts.progress import Progress
from steadyhand.jobs.executors.local import LocalExecutor
from steadyhand.jobs.recipe import Recipe, build_recipe
from steadyhand.jobs.run_directory import RunDirectory
from steadyhand.jobs.runner import Machinery, run_recipe
from steadyhand.jobs.stages.catalog import STAGES
from steadyhand.jobs.workspace import Workspace
from steadyhand.store.atomic import replace_directory


class Crew:
    """Workers and a display for the length of one verb.

    Args:
        workers: Worker processes; 0 takes one per CPU core this process may use.
    """

    def __init__(self, workers: int) -> None:
        self.clock = MonotonicClock()
        self.executor = LocalExecutor(workers or len(os.sched_getaffinity(0)))
        self.display = make_display(progress_console(), self.clock)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Start the display."""
        self._open.callback(self.executor.close)
        self._open.enter_context(self.display)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the display and the workers."""
        self._open.__exit__(kind, error, trace)

    def run(self, recipe: Recipe, workspace: Workspace) -> RunDirectory:
        """Execute a recipe."""
        machinery = Machinery(workspace, STAGES, self.executor, self.clock, self.display)
        return run_recipe(recipe, machinery)


def make_recipe(
    name: str, seed: int, stages: Mapping[str, Any], overrides: Mapping[str, Any]
) -> Recipe:
    """Build the recipe of a verb; its inputs are ``{"path": ...}`` tables.

    Args:
        name: Name of the run.
        seed: Seed of the run.
        stages: Stages as in a recipe file.
        overrides: By stage, keys the user has set.

    Raises:
        RecipeError: If a key or a value is wrong.
    """
    for stage in overrides:
        if stage not in stages:
            raise UnknownNameError("stage", stage, stages)
    document = {"schema": 1, "name": name, "seed": seed, "stages": _merged(stages, overrides)}
    return build_recipe(document, STAGES, f"steady {name}", Path.cwd())


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return two tables as one; where both have a value, the one above counts."""
    result = dict(below)
    for key, value in above.items():
        known = result.get(key)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            result[key] = _merged(known, value)
        else:
            result[key] = value
    return result


def lines_of(facts: Mapping[str, Any]) -> Table:
    """Return facts as two columns for people."""

    def text(value: Any) -> str:
        if isinstance(value, Mapping):
            return ", ".join(f"{key} {item}" for key, item in value.items())
        return str(value)

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(escape(name.replace("_", " ")), escape(text(value)))
    return table


def deliver(
    run: RunDirectory,
    stage: str,
    part: str,
    out: Path,
    workspace: Workspace,
    progress: Progress,
) -> None:
    """Put a part of a stage's artifact, with its signature if it has one, where the user wants it.

    Args:
        run: The finished run.
        stage: Name of the stage.
        part: Directory inside of its artifact.
        out: Where to; replaced whole or not at all.
        workspace: Where the artifact is.
        progress: Told if it had to be restored.

    Raises:
        StorageError: If it cannot be written.
    """
    outcome = next(o for o in run.outcomes if o.name == stage)
    partial = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(workspace.tree(outcome.digest, progress) / part, partial)
        if outcome.measurements is not None:
            measured = workspace.tree(outcome.measurements, progress) / part
            if measured.is_dir():
                shutil.copytree(measured, partial, dirs_exist_ok=True)
    except OSError as error:
        raise storage_error(error, f"writing {out}") from error
    replace_directory(partial, out)


def show_run(run: RunDirectory, *, as_json: bool, delivered: Path | None = None) -> None:
    """Print the closing table of a run, where its report is and what was delivered."""
    value = {
        "run": run.path.name,
        "directory": str(run.path),
        "report": None if run.report is None else str(run.report),
        "delivered": None if delivered is None else str(delivered),
        "stages": [asdict(outcome) for outcome in run.outcomes],
    }
    lines = [f"\nrun     {run.path}"]
    if run.report is not None:
        lines.append(f"report  {run.report}")
    if delivered is not None:
        lines.append(f"result  {delivered}")
    show(value, Group(outcome_table(run.outcomes), Text("\n".join(lines))), as_json=as_json)
