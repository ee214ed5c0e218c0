"""``steady record``: demonstrations of a task into a dataset directory."""

from pathlib import Path
from typing import Annotated

import typer

from steadyhand.apps.cli.options import AsJson, Seed, Workers
from steadyhand.apps.cli.session import Crew, lines_of
from steadyhand.apps.cli.terminal import show


def command(
    task: Annotated[str, typer.Option("--task", help="Task to demonstrate, e.g. pick_place-hard.")],
    out: Annotated[Path, typer.Option("--out", help="Dataset directory; continued if it exists.")],
    episodes: Annotated[
        int, typer.Option("--episodes", min=1, help="How many episodes it shall hold.")
    ] = 100,
    seed: Seed = 0,
    workers: Workers = 0,
    as_json: AsJson = False,
) -> None:
    """Record demonstrations of the scripted expert as a LeRobot v3.0 dataset.

    Every episode is committed on its own: killed and started again with the same options, it
    continues behind the last one and ends with the same bytes.

    For example:

      steady record --task pick_place-hard --episodes 100 --out data/hard
    """
    from steadyhand.jobs.stages.collect import describe, record  # noqa: PLC0415  pyarrow, mujoco
    from steadyhand.sim.tasks.pick_place_expert import DemonstrationConfig  # noqa: PLC0415

    with Crew(workers) as crew:
        trials = record(out, DemonstrationConfig(task, seed), episodes, crew.executor, crew.display)
    facts = {"dataset": str(out), **describe(trials)}
    show(facts, lines_of(facts), as_json=as_json)
