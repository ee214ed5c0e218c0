"""``steady run``: execute a recipe, or continue it."""

from pathlib import Path
from typing import Annotated

import typer

from steadyhand.apps.cli.options import AsJson, Overrides, Workers, WorkspacePath
from steadyhand.apps.cli.session import Crew, show_run
from steadyhand.jobs.recipe import read_recipe
from steadyhand.jobs.stages.catalog import STAGES
from steadyhand.jobs.workspace import Workspace


def command(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A recipe file (TOML).", show_default=False)
    ],
    overrides: Overrides = None,
    workspace: WorkspacePath = Path("workspace"),
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Run a recipe: every stage once, reused when nothing it depends on has changed.

    Killed at any moment and started again, it continues and ends with the same artifacts.

    For example:

      steady run recipes/demo.toml

      steady run recipes/demo.toml --set train.training.num_steps=3000
    """
    wanted = read_recipe(recipe, STAGES, overrides or [])
    with Crew(workers) as crew:
        run = crew.run(wanted, Workspace(workspace))
    show_run(run, as_json=as_json)
