"""``steady eval``: success of a policy or a bundle, with intervals."""

from pathlib import Path
from typing import Annotated

import typer

from steadyhand.apps.cli.options import AsJson, Overrides, Seed, Workers, WorkspacePath
from steadyhand.apps.cli.session import Crew, make_recipe, show_run
from steadyhand.jobs.overrides import read_settings
from steadyhand.jobs.workspace import Workspace


def command(
    policy: Annotated[Path, typer.Argument(metavar="POLICY", help="A policy or a signed bundle.")],
    tasks: Annotated[
        list[str], typer.Option("--task", help="Task to try; may be given several times.")
    ],
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="Episodes per task.")] = 200,
    seed: Seed = 0,
    overrides: Overrides = None,
    workspace: WorkspacePath = Path("workspace"),
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Measure success in closed loop: the same episodes for every policy, with 95% intervals.

    A failed episode is replayed as a video with "steady replay".

    For example:

      steady eval policies/hard --task pick_place-hard --task pick_place-hard-held_out
    """
    stages = {
        "evaluate": {
            "kind": "evaluate",
            "policy": {"path": str(policy.resolve())},
            "conditions": [{"task": task, "num_episodes": episodes} for task in tasks],
        },
        "report": {"kind": "report", "title": f"Evaluation of {policy}", "evaluate": "evaluate"},
    }
    recipe = make_recipe("evaluate", seed, stages, read_settings(overrides or []))
    with Crew(workers) as crew:
        run = crew.run(recipe, Workspace(workspace))
    show_run(run, as_json=as_json)
