"""``steady runs``: what was run, what came out, and what differs."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from steadyhand.apps.cli.display import outcome_table
from steadyhand.apps.cli.options import AsJson, WorkspacePath
from steadyhand.apps.cli.session import lines_of
from steadyhand.apps.cli.terminal import show
from steadyhand.jobs.history import compare_runs, find_run, list_runs

app = typer.Typer(help="List, show and compare runs.", no_args_is_help=True)
RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="Name of a run, its beginning, or its directory.")
]


@app.command("list")
def list_command(workspace: WorkspacePath = Path("workspace"), as_json: AsJson = False) -> None:
    """List the runs of a workspace, the newest first.

    For example:

      steady runs list
    """
    past = list_runs(workspace / "runs")
    table = Table(box=None, pad_edge=False)
    for title in ("run", "state", "stages", "last result"):
        table.add_column(title, overflow="fold")
    for run in past:
        state = "finished" if run.manifest.finished else "not finished"
        last = list(run.outcomes.values())[-1].headline if run.outcomes else ""
        done = f"{len(run.outcomes)}/{len(run.recipe['stages'])}"
        table.add_row(escape(run.path.name), state, done, escape(last))
    view = table if past else Text(f"no runs in {workspace}; start one with: steady run RECIPE")
    show([run.to_json() for run in past], view, as_json=as_json)


@app.command("show")
def show_command(
    run: RunName, workspace: WorkspacePath = Path("workspace"), as_json: AsJson = False
) -> None:
    """Show the stages of a run and what they made.

    For example:

      steady runs show demo
    """
    past = find_run(run, workspace / "runs")
    facts = {
        "run": str(past.path),
        "state": "finished" if past.manifest.finished else "not finished; run the recipe again",
        "seed": past.manifest.seed,
        "versions": past.manifest.versions,
        "cpu": past.manifest.host.get("cpu", "unknown"),
    }
    view = Group(outcome_table(list(past.outcomes.values())), Text(), lines_of(facts))
    show(past.to_json(), view, as_json=as_json)


@app.command("compare")
def compare_command(
    first: RunName,
    second: RunName,
    workspace: WorkspacePath = Path("workspace"),
    as_json: AsJson = False,
) -> None:
    """Show every value in which two runs differ: recipe, artifacts, results, versions, machine.

    For example:

      steady runs compare demo-1a2b3c4d demo-5e6f7a8b
    """
    pair = [find_run(name, workspace / "runs") for name in (first, second)]
    changes = compare_runs(*pair)
    table = Table(box=None, pad_edge=False)
    for title in ("value", *(run.path.name for run in pair)):
        table.add_column(escape(title), overflow="fold")
    for change in changes:
        table.add_row(escape(change.place), escape(str(change.first)), escape(str(change.second)))
    view = table if changes else Text("the runs differ in nothing but time")
    show([asdict(change) for change in changes], view, as_json=as_json)


@app.command("tensorboard")
def tensorboard_command(
    run: RunName,
    out: Annotated[Path, typer.Option("--out", help="Log directory for TensorBoard.")],
    workspace: WorkspacePath = Path("workspace"),
    as_json: AsJson = False,
) -> None:
    """Write the metrics of a run as TensorBoard event files.

    For example:

      steady runs tensorboard demo --out tensorboard
    """
    from steadyhand.apps.trackers.tensorboard import write_events  # noqa: PLC0415  an extra

    past = find_run(run, workspace / "runs")
    count = write_events(past.path / "metrics.jsonl", out / past.path.name)
    facts = {"numbers": count, "written": str(out), "look at it": f"tensorboard --logdir {out}"}
    show(facts, lines_of(facts), as_json=as_json)
