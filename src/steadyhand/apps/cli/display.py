"""What a person sees while a run goes on: bars on a terminal, plain lines anywhere else.

Everything here goes to stderr; stdout belongs to results.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from steadyhand.contracts.clock import Clock
from steadyhand.jobs.run_directory import StageOutcome

LINE_INTERVAL_S = 5.0


class Display(Protocol):
    """An observer of runs that is opened and closed."""

    def started(self, stage: str, kind: str) -> None:
        """A stage begins."""
        ...

    def finished(self, outcome: StageOutcome) -> None:
        """A stage has ended well, or was reused."""
        ...

    def update(self, phase: str, done: int, total: int, unit: str) -> None:
        """A phase of the stage moves on."""
        ...

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers at a step."""
        ...

    def say(self, message: str) -> None:
        """One line that matters."""
        ...

    def __enter__(self) -> Self:
        """Start drawing."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop drawing."""
        ...


def make_display(console: Console, clock: Clock) -> Display:
    """Return bars for a terminal, lines for a file or a pipe."""
    return Bars(console) if console.is_terminal else Lines(console, clock)


def describe_end(outcome: StageOutcome) -> str:
    """Say in one line how a stage ended."""
    how = "reused" if outcome.is_reused else f"{outcome.seconds:.1f} s"
    return f"{outcome.name}: {outcome.headline} ({how})"


class _Rate(ProgressColumn):
    """Units per second, e.g. ``21.4 steps/s``."""

    def render(self, task: Task) -> Text:
        """Return the text of one task."""
        speed = task.finished_speed or task.speed
        unit = task.fields["unit"]
        return Text("" if speed is None else f"{speed:.1f} {unit}/s", style="cyan")


class Bars:
    """Progress bars with rate and remaining time.

    Args:
        console: Where they are drawn.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _Rate(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[numbers]}"),
            console=console,
            transient=True,
        )
        self._phases: dict[str, TaskID] = {}
        self._stage = ""

    def __enter__(self) -> Self:
        """Start drawing."""
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop drawing; the terminal is left clean also after an error."""
        self._bars.stop()

    def started(self, stage: str, kind: str) -> None:
        """Forget the bars of the stage before."""
        del kind
        self._stage = stage
        self._clear()

    def finished(self, outcome: StageOutcome) -> None:
        """Leave one line behind."""
        self._clear()
        mark = "[yellow]=[/]" if outcome.is_reused else "[green]v[/]"
        self._console.print(f"{mark} {escape(describe_end(outcome))}", highlight=False)

    def update(self, phase: str, done: int, total: int, unit: str) -> None:
        """Move a bar."""
        if phase not in self._phases:
            name = phase if not self._stage or phase == self._stage else f"{self._stage}: {phase}"
            # Work done before a restart must not count as speed.
            self._phases[phase] = self._bars.add_task(
                escape(name), total=total, completed=max(done - 1, 0), unit=unit, numbers=""
            )
        self._bars.update(self._phases[phase], completed=done, total=total)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Show the first two numbers beside the newest bar."""
        del step
        if self._phases:
            newest = list(self._phases.values())[-1]
            shown = " ".join(f"{k} {v:.3g}" for k, v in list(values.items())[:2])
            self._bars.update(newest, numbers=escape(shown))

    def say(self, message: str) -> None:
        """Print a line above the bars."""
        self._console.print(escape(message), highlight=False)

    def _clear(self) -> None:
        for task in self._phases.values():
            self._bars.remove_task(task)
        self._phases.clear()


class Lines:
    """One line per phase every few seconds, for logs.

    Args:
        console: Where they are written.
        clock: For rates.
    """

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock
        self._stage = ""
        self._began: dict[str, tuple[float, int]] = {}
        self._said_s: dict[str, float] = {}
        self._ended: set[str] = set()

    def __enter__(self) -> Self:
        """Nothing to start."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to stop."""

    def started(self, stage: str, kind: str) -> None:
        """Say which stage begins."""
        self._stage = stage
        self._began.clear()
        self._said_s.clear()
        self._ended.clear()
        self._print(f"{stage}: started" if stage == kind else f"{stage}: started ({kind})")

    def finished(self, outcome: StageOutcome) -> None:
        """Say how it ended."""
        self._print(describe_end(outcome))

    def update(self, phase: str, done: int, total: int, unit: str) -> None:
        """Say how far a phase is, at its end and every few seconds."""
        now_s = self._clock.now_s()
        began_s, before = self._began.setdefault(phase, (now_s, done))
        said_s = self._said_s.setdefault(phase, now_s)
        is_new_end = done >= total and phase not in self._ended
        if not is_new_end and (done >= total or now_s - said_s < LINE_INTERVAL_S):
            return
        if is_new_end:
            self._ended.add(phase)
        self._said_s[phase] = now_s
        text = f"{self._stage}: {phase} {done}/{total} {unit}".removeprefix(": ")
        if now_s > began_s and done > before:
            rate = (done - before) / (now_s - began_s)
            text += f", {rate:.1f} {unit}/s"
            if done < total:
                text += f", ETA {(total - done) / rate:.0f} s"
        self._print(text)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers go to files, not to logs."""

    def say(self, message: str) -> None:
        """Write the line."""
        self._print(message)

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def outcome_table(outcomes: Sequence[StageOutcome]) -> Table:
    """Return the closing table of a run: one row per stage, one screen."""
    table = Table(box=None, pad_edge=False)
    table.add_column("stage", no_wrap=True)
    table.add_column("result", overflow="fold")
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("artifact", no_wrap=True, style="dim")
    for outcome in outcomes:
        duration = "reused" if outcome.is_reused else f"{outcome.seconds:.1f} s"
        table.add_row(outcome.name, escape(outcome.headline), duration, outcome.digest[:12])
    return table
