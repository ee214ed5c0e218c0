"""The watchdog: another process with its own clock that stops the robot when the loop stops.

Each finished tick leaves a token in one word of shared memory: its number and a check over that
number, so that a stuck, a runaway and a confused loop all look different from a healthy one. The
watchdog judges age, order and rate of the tokens. It is no certified safety function.
"""

import os
import time
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from steadyhand.contracts.errors import SteadyError
from steadyhand.contracts.exchange import Flags
from steadyhand.contracts.robot import Robot
from steadyhand.runtime.lifeline import start_lifeline
from steadyhand.runtime.scheduling import WATCHDOG_PRIORITY, raise_priority

# ``token``: of the last finished tick. ``mode``: what the control process says of itself.
# ``beat``: grows while the watchdog lives. ``alarm``: the first Alarm. The rest is for reports.
WORDS = ("token", "mode", "beat", "alarm", "alarm_at_s", "checks", "longest_gap_s", "stop_failed")

_CHECK_BITS = 20
_MULTIPLIER = 0x9E3779B97F4A7C15
_MIN_CHECKS = 3  # seen by the watchdog itself, so that its own pauses accuse nobody
_RATE_SLACK = 4  # ticks that may come early after a pause


class Mode(IntEnum):
    """What the control process says of itself."""

    STARTING = 0
    RUNNING = 1
    ENDED = 2


class Alarm(IntEnum):
    """Why the watchdog stopped the robot."""

    NONE = 0
    TOO_LATE = 1
    OUT_OF_SEQUENCE = 2
    TOO_EARLY = 3
    PARENT_DIED = 4


def token(tick: int) -> int:
    """Return the word that proves that tick ``tick`` (from 1) was finished."""
    mixed = (tick * _MULTIPLIER) & 0xFFFFFFFFFFFFFFFF
    return tick << _CHECK_BITS | mixed >> (64 - _CHECK_BITS)


def tick_of(word: int) -> int | None:
    """Return the tick a token stands for; None if no loop can have written it."""
    tick = word >> _CHECK_BITS
    return tick if tick >= 0 and (word == 0 or token(tick) == word) else None


@dataclass(frozen=True, slots=True)
class WatchdogSettings:
    """What counts as healthy.

    Args:
        interval_s: Longest time [s] without a finished tick.
        tick_period_s: Time [s] between two ticks.
    """

    interval_s: float
    tick_period_s: float


class WatchdogMonitor:
    """Judges tokens; pure in the times and words it is given.

    Args:
        settings: What counts as healthy.
        now_s: Time [s] at which supervision begins, on the watchdog's clock.
    """

    def __init__(self, settings: WatchdogSettings, now_s: float) -> None:
        self._settings = settings
        self._began_at_s = now_s
        self._changed_at_s = now_s
        self._checks_since = 0
        self._tick = 0
        self._first_tick: int | None = None
        self.longest_gap_s = 0.0

    def check(self, word: int, now_s: float) -> Alarm:
        """Judge the current token.

        Args:
            word: The token word.
            now_s: Time [s] on the watchdog's clock.

        Returns:
            NONE, or why the robot must be stopped.
        """
        tick = tick_of(word)
        if tick is None or tick < self._tick:
            return Alarm.OUT_OF_SEQUENCE
        if tick == self._tick:
            self._checks_since += 1
            gap_s = now_s - self._changed_at_s
            is_over = gap_s > self._settings.interval_s and self._checks_since >= _MIN_CHECKS
            return Alarm.TOO_LATE if is_over else Alarm.NONE
        if self._first_tick is None:
            self._first_tick, self._began_at_s = tick, now_s
        else:
            self.longest_gap_s = max(self.longest_gap_s, now_s - self._changed_at_s)
        possible = (now_s - self._began_at_s) / self._settings.tick_period_s + _RATE_SLACK
        if tick - self._first_tick > possible:
            return Alarm.TOO_EARLY
        self._tick, self._changed_at_s, self._checks_since = tick, now_s, 0
        return Alarm.NONE


def serve_watchdog(handle: Any, name: str, settings: WatchdogSettings) -> None:
    """Run the watchdog process until the session ends; stop the robot on any alarm.

    Args:
        handle: The robot's handle.
        name: Name of the shared words.
        settings: What counts as healthy.
    """
    robot: Robot = handle.attach()
    words = Flags.attach(name, WORDS)

    def stop_with_parent() -> None:
        # A session that ended in order has stopped the robot if that was wanted.
        if words.get("mode") != Mode.ENDED:
            _raise_alarm(robot, words, Alarm.PARENT_DIED)

    start_lifeline(stop_with_parent)
    raise_priority(WATCHDOG_PRIORITY)
    pause_s = min(settings.interval_s / 8, settings.tick_period_s / 2)
    monitor: WatchdogMonitor | None = None
    while words.get("mode") != Mode.ENDED:
        words.set("beat", words.get("beat") + 1)
        if words.get("mode") == Mode.RUNNING and words.get("alarm") == Alarm.NONE:
            now_s = time.monotonic()
            monitor = monitor or WatchdogMonitor(settings, now_s)
            alarm = monitor.check(words.get("token"), now_s)
            words.set("checks", words.get("checks") + 1)
            words.set_real("longest_gap_s", monitor.longest_gap_s)
            # The mode is read again: the loop may have ended in order since.
            if alarm is not Alarm.NONE and words.get("mode") == Mode.RUNNING:
                _raise_alarm(robot, words, alarm)
        time.sleep(pause_s)
    robot.close()


def _raise_alarm(robot: Robot, words: Flags, alarm: Alarm) -> None:
    words.set_real("alarm_at_s", time.monotonic())
    words.set("alarm", alarm)
    try:
        robot.stop()
    except SteadyError:
        words.set("stop_failed", 1)
        os.write(2, b"steadyhand watchdog: robot.stop() failed\n")
