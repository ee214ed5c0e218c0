"""``steady data``: look at, check, repair and split a dataset."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from steadyhand.apps.cli.options import AsJson, Overrides
from steadyhand.apps.cli.session import Crew, lines_of
from steadyhand.apps.cli.terminal import show
from steadyhand.jobs.configuration import read_config
from steadyhand.jobs.overrides import read_settings

app = typer.Typer(help="Look at, check, repair and split a dataset.", no_args_is_help=True)
DatasetPath = Annotated[Path, typer.Argument(metavar="DATASET", help="A dataset directory.")]


@app.command("info")
def info(dataset: DatasetPath, as_json: AsJson = False) -> None:
    """Say what a dataset holds.

    For example:

      steady data info data/hard
    """
    from steadyhand.data.dataset import Dataset  # noqa: PLC0415  pyarrow
    from steadyhand.jobs.stages.collect import describe  # noqa: PLC0415

    opened = Dataset.open(dataset)
    features = opened.features
    facts: dict[str, Any] = {
        "dataset": str(dataset),
        **describe(opened.trials()),
        "fps": features.fps,
        "robot": features.robot_type,
        "vectors": {spec.name: list(spec.shape) for spec in features.vectors},
        "cameras": {spec.name: list(spec.shape) for spec in features.cameras},
        "fingerprint": opened.fingerprint,
    }
    show(facts, lines_of(facts), as_json=as_json)


@app.command("check")
def check(dataset: DatasetPath, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Read every row and frame, then print the recording checklist; exit code 4 if it fails.

    For example:

      steady data check data/hard

      steady data check data/hard --set min_episodes=50
    """
    from steadyhand.data.dataset import Dataset  # noqa: PLC0415  pyarrow
    from steadyhand.data.quality import QualityConfig, check_quality  # noqa: PLC0415

    config = read_config(QualityConfig, read_settings(overrides or []), "--set")
    opened = Dataset.open(dataset)
    with Crew(1) as crew:
        opened.check(crew.display)
        report = check_quality(opened, config)
    show(asdict(report), checklist_table(report.rows), as_json=as_json)
    report.raise_if_failed()


@app.command("repair")
def repair(dataset: DatasetPath, as_json: AsJson = False) -> None:
    """Move damaged episodes to quarantine/ and make the rest a consistent dataset.

    For example:

      steady data repair data/hard
    """
    from steadyhand.data.repair import repair as repair_dataset  # noqa: PLC0415  pyarrow

    with Crew(1) as crew:
        report = repair_dataset(dataset, crew.display)
    facts = asdict(report)
    view = {**facts, "notes": "; ".join(report.notes) or "nothing was wrong"}
    show(facts, lines_of(view), as_json=as_json)


@app.command("split")
def split(
    dataset: DatasetPath,
    out: Annotated[Path, typer.Option("--out", help="Where split.json is written.")],
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Split by cluster and by episode; statistics come from the training split only.

    For example:

      steady data split data/hard --out split.json
    """
    from steadyhand.data.dataset import Dataset  # noqa: PLC0415  pyarrow
    from steadyhand.data.splits import SplitConfig, compute_statistics  # noqa: PLC0415
    from steadyhand.data.splits import split as split_dataset  # noqa: PLC0415
    from steadyhand.store.atomic import write_json  # noqa: PLC0415

    config = read_config(SplitConfig, read_settings(overrides or []), "--set")
    opened = Dataset.open(dataset)
    parts = split_dataset(opened, config)
    statistics = compute_statistics(opened, parts.train)
    write_json(out, {"split": parts.to_json(), "statistics": statistics.to_json()})
    facts = {
        "train": len(parts.train),
        "validation": len(parts.validation),
        "held_out": len(parts.held_out),
        "written": str(out),
    }
    show(facts, lines_of(facts), as_json=as_json)


def checklist_table(rows: Any) -> Table:
    """Return the recording checklist for people."""
    table = Table(box=None, pad_edge=False)
    for title in ("", "check", "measured", "limit", "advice"):
        table.add_column(title, overflow="fold")
    for row in rows:
        mark = "[green]pass[/]" if row.passed else "[red]FAIL[/]"
        advice = "" if row.passed else row.advice
        table.add_row(mark, row.check, str(row.measured), str(row.limit), advice)
    return table
