"""``steady train``: a policy from a dataset."""

from pathlib import Path
from typing import Annotated

import typer

from steadyhand.apps.cli.options import AsJson, Overrides, Seed, Workers, WorkspacePath
from steadyhand.apps.cli.session import Crew, deliver, make_recipe, show_run
from steadyhand.jobs.overrides import read_settings
from steadyhand.jobs.workspace import Workspace


def command(
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="A dataset directory.")],
    task: Annotated[str, typer.Option("--task", help="Task the candidates are tried on.")],
    out: Annotated[Path, typer.Option("--out", help="Where the policy is put; replaced.")],
    seed: Seed = 0,
    overrides: Overrides = None,
    workspace: WorkspacePath = Path("workspace"),
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Check a dataset, train a policy on it, and keep the candidate that succeeds most often.

    Settings are those of the recipe stages "check" and "train".

    For example:

      steady train data/hard --task pick_place-hard --out policies/hard

      steady train data/hard --task pick_place-hard --out p --set train.training.num_steps=3000
    """
    source = {"path": str(dataset.resolve())}
    stages = {
        "check": {"kind": "check", "dataset": source},
        "train": {
            "kind": "train",
            "dataset": source,
            "split": "check",
            "selection": {"task": task},
        },
    }
    recipe = make_recipe("train", seed, stages, read_settings(overrides or []))
    place = Workspace(workspace)
    with Crew(workers) as crew:
        run = crew.run(recipe, place)
        deliver(run, "train", "policy", out, place, crew.display)
    show_run(run, as_json=as_json, delivered=out)
