"""``steady export``: a signed bundle from a policy."""

from pathlib import Path
from typing import Annotated

import typer

from steadyhand.apps.cli.options import AsJson, Overrides, Seed, Workers, WorkspacePath
from steadyhand.apps.cli.session import Crew, deliver, make_recipe, show_run
from steadyhand.jobs.overrides import read_settings
from steadyhand.jobs.workspace import Workspace


def command(
    policy: Annotated[Path, typer.Argument(metavar="POLICY", help="A policy directory.")],
    dataset: Annotated[
        Path, typer.Option("--dataset", help="Dataset it was trained on; calibrates INT8.")
    ],
    task: Annotated[str, typer.Option("--task", help="Task that success is measured on.")],
    out: Annotated[Path, typer.Option("--out", help="Where the bundle is put; replaced.")],
    seed: Seed = 0,
    overrides: Overrides = None,
    workspace: WorkspacePath = Path("workspace"),
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Export a policy: measure each precision of each part, choose, pack, and sign the bundle.

    Settings are those of the recipe stages "check" and "export". The signing key is that of the
    workspace.

    For example:

      steady export policies/hard --dataset data/hard --task pick_place-hard --out bundles/hard
    """
    source = {"path": str(dataset.resolve())}
    stages = {
        "check": {"kind": "check", "dataset": source},
        "export": {
            "kind": "export",
            "policy": {"path": str(policy.resolve())},
            "dataset": source,
            "split": "check",
            "task": task,
        },
    }
    recipe = make_recipe("export", seed, stages, read_settings(overrides or []))
    place = Workspace(workspace)
    with Crew(workers) as crew:
        run = crew.run(recipe, place)
        deliver(run, "export", "bundle", out, place, crew.display)
    show_run(run, as_json=as_json, delivered=out)
