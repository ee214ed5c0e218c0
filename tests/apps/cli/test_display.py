"""What a person sees: lines for logs, bars on a terminal, one row per stage at the end."""

import io

import pytest
from rich.console import Console

from steadyhand.apps.cli.display import Bars, Lines, make_display, outcome_table
from steadyhand.contracts.clock import ManualClock
from steadyhand.jobs.run_directory import StageOutcome

OUTCOME = StageOutcome(
    name="collect",
    kind="collect",
    key="0" * 64,
    digest="ab" * 32,
    measurements=None,
    headline="100 episodes [all of them]",
    seconds=12.34,
)


def console(*, is_terminal: bool):
    return Console(file=io.StringIO(), force_terminal=is_terminal, width=100)


def test_a_pipe_gets_lines_and_a_terminal_gets_bars():
    assert isinstance(make_display(console(is_terminal=False), ManualClock()), Lines)
    assert isinstance(make_display(console(is_terminal=True), ManualClock()), Bars)


def test_lines_come_every_few_seconds_with_rate_and_remaining_time_and_once_at_the_end():
    out, clock = console(is_terminal=False), ManualClock()
    with Lines(out, clock) as display:
        display.started("collect", "collect")
        for done in range(1, 101):
            clock.advance_s(0.125)
            display.update("record", done, 100, "episodes")
        display.update("record", 100, 100, "episodes")
        display.finished(OUTCOME)
    lines = out.file.getvalue().splitlines()
    assert lines == [
        "collect: started",
        "collect: record 41/100 episodes, 8.0 episodes/s, ETA 7 s",
        "collect: record 81/100 episodes, 8.0 episodes/s, ETA 2 s",
        "collect: record 100/100 episodes, 8.0 episodes/s",
        "collect: 100 episodes [all of them] (12.3 s)",
    ]


def test_work_done_before_a_restart_does_not_count_as_speed():
    out, clock = console(is_terminal=False), ManualClock()
    display = Lines(out, clock)
    display.started("train", "train")
    for done in (900, 910):
        clock.advance_s(10.0)
        display.update("train", done, 1000, "steps")
    assert "910/1000 steps, 1.0 steps/s, ETA 90 s" in out.file.getvalue()


@pytest.mark.parametrize("is_reused", [False, True])
def test_bars_leave_one_line_per_stage_and_text_is_shown_as_it_is(is_reused):
    from dataclasses import replace

    out = console(is_terminal=True)
    with Bars(out) as display:
        display.started("collect", "collect")
        display.update("record", 1, 100, "episodes")
        display.metrics(1, {"loss": 0.5})
        display.say("dropped episode [3]")
        display.update("record", 100, 100, "episodes")
        display.finished(replace(OUTCOME, is_reused=is_reused))
    text = out.file.getvalue()
    assert "dropped episode [3]" in text
    assert f"100 episodes [all of them] ({'reused' if is_reused else '12.3 s'})" in text


def test_the_closing_table_has_one_row_per_stage_with_result_time_and_hash():
    out = console(is_terminal=False)
    out.print(outcome_table([OUTCOME]))
    header, row = out.file.getvalue().splitlines()
    assert header.split() == ["stage", "result", "time", "artifact"]
    words = "collect 100 episodes [all of them] 12.3 s abababababab"
    assert row.split() == words.split()
