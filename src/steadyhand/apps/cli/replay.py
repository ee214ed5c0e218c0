"""``steady replay``: any evaluated episode again, as a video."""

from pathlib import Path
from typing import Annotated

import typer

from steadyhand.apps.cli.options import AsJson, WorkspacePath
from steadyhand.apps.cli.session import Crew, lines_of
from steadyhand.apps.cli.terminal import show
from steadyhand.jobs.workspace import Workspace


def command(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Name of a run, its beginning, or its directory.")
    ],
    episode: Annotated[
        str | None,
        typer.Option(
            "--episode",
            metavar="KEY",
            help="Which one, e.g. pick_place-hard@1/72/17; the first failure if not given.",
            show_default=False,
        ),
    ] = None,
    stage: Annotated[
        str | None,
        typer.Option(
            "--stage", help="Evaluation stage; the first one if not given.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Video file; in the run's directory if not given."),
    ] = None,
    workspace: WorkspacePath = Path("workspace"),
    as_json: AsJson = False,
) -> None:
    """Run an evaluated episode again, exactly, and write a video of it.

    For example:

      steady replay demo

      steady replay demo --episode pick_place-hard@1/72/17 --stage reevaluate
    """
    from steadyhand.evaluation.replay import replay  # noqa: PLC0415
    from steadyhand.jobs.history import find_run  # noqa: PLC0415
    from steadyhand.jobs.replays import find_episode, find_evaluation  # noqa: PLC0415  simulator

    past = find_run(run, workspace / "runs")
    with Crew(1) as crew:
        found = find_evaluation(past, stage, Workspace(workspace), crew.display)
        key = find_episode(found.evaluation, episode)
        name = f"{key}.mp4".replace("/", "-")
        path = out or past.path / "replays" / name
        crew.display.say(f"replaying {key} with the {found.candidate.name} of {past.path.name}")
        result = replay(key, found.candidate.episode, path)
    facts = {
        "episode": str(key),
        "ending": result.ending,
        "steps": result.num_steps,
        "video": str(path),
    }
    show(facts, lines_of(facts), as_json=as_json)
