"""The command ``steady``: finds the verb, and turns errors into one line and an exit code."""

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

import steadyhand
from steadyhand.apps.cli import data, drive, export, record, replay, runs, train
from steadyhand.apps.cli import eval as evaluate
from steadyhand.apps.cli import run as run_verb
from steadyhand.apps.cli.terminal import print_error
from steadyhand.contracts.errors import SteadyError

INTERRUPTED = 130

app = typer.Typer(
    name="steady",
    help=(
        "Takes a robot policy from simulation and demonstrations to a robot that keeps its "
        "deadlines.\n\nStart with:  steady run recipes/demo.toml"
    ),
    epilog="Exit codes: 0 done, 2 wrong request, 3 damaged data, 4 refused by a gate, "
    "5 the machine cannot, 6 a stage failed, 130 interrupted.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("run")(run_verb.command)
app.command("record")(record.command)
app.add_typer(data.app, name="data")
app.command("train")(train.command)
app.command("eval")(evaluate.command)
app.command("export")(export.command)
app.command("drive")(drive.command)
app.command("replay")(replay.command)
app.add_typer(runs.app, name="runs")


def _print_version(value: bool) -> None:
    if value:
        sys.stdout.write(f"steadyhand {steadyhand.__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; works in any place.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Version.")
    ] = False,
) -> None:
    """Nothing happens before a verb; main() reads ``--debug`` itself."""


def main(arguments: Sequence[str]) -> int:
    """Execute one command line.

    Args:
        arguments: Without the name of the program.

    Returns:
        The exit code.
    """
    is_debug = "--debug" in arguments
    try:
        app(args=[a for a in arguments if a != "--debug"], prog_name="steady")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except SteadyError as error:
        if is_debug:
            traceback.print_exception(error)
        print_error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        print_error("interrupted; the same command continues from the last committed unit")
        return INTERRUPTED
    except BrokenPipeError:
        return 0
    return 0


def run() -> None:
    """Entry point of the console script."""
    sys.exit(main(sys.argv[1:]))
