"""Options that several verbs share, so that they read the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

WorkspacePath = Annotated[
    Path, typer.Option("--workspace", help="Where artifacts, runs and keys are kept.")
]
Workers = Annotated[
    int,
    typer.Option("--workers", min=0, help="Worker processes; 0 takes one per CPU core."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="STAGE.KEY=VALUE",
        help="Change one value of the recipe; may be given several times.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything that is random.")]
