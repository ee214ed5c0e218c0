"""Accept a result only while its window is open.

The gate is arithmetic over timestamps and one look at the numbers; it never sleeps or reads a
clock. What it lets through is a chunk; which of its actions may go out is asked again each tick.
"""

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.policy import State
from steadyhand.runtime.timing import ChunkTiming

# Differences of float times that are equal on paper differ by less than this for years of uptime.
_ROUNDING_S = 1e-7


class Judgement(Enum):
    """What the gate says about one result."""

    ACCEPTED = "accepted"
    TOO_LATE = "too_late"
    NOT_FINITE = "not_finite"
    MISMATCHED = "mismatched"
    OUT_OF_ORDER = "out_of_order"


@dataclass(frozen=True, slots=True)
class Result:
    """What came back from one inference.

    Args:
        actions: float32 of shape (n, action size).
        state: The policy's state after it; adopted only if the result is accepted.
        observed_at_s: Time [s] of the observation it was computed from.
        digest: Digest of what computed it (the bundle's manifest).
        compute_s: Time [s] the computation took.
        sequence: Number of the request it answers.
    """

    actions: NDArray[np.float32]
    state: State
    observed_at_s: float
    digest: str
    compute_s: float
    sequence: int


@dataclass(frozen=True, slots=True)
class Gate:
    """Judges results.

    Args:
        timing: Windows and the latency budget.
        action_size: Numbers per action.
        digest: Digest of the active bundle.
    """

    timing: ChunkTiming
    action_size: int
    digest: str

    def judge(self, result: Result, now_s: float, newest_observed_at_s: float | None) -> Judgement:
        """Judge one result when it arrives.

        Args:
            result: The result.
            now_s: Time [s] of arrival.
            newest_observed_at_s: Observation time [s] of the last accepted result, or None.

        Returns:
            ACCEPTED only if it is from the active bundle, has the right shape, is finite, is newer
            than the last accepted one, is at most the latency budget old and has a window open.
        """
        expected = (self.timing.chunk_length, self.action_size)
        if result.digest != self.digest or result.actions.shape != expected:
            return Judgement.MISMATCHED
        if not _is_finite(result):
            return Judgement.NOT_FINITE
        age_s = now_s - result.observed_at_s
        is_newer = newest_observed_at_s is None or result.observed_at_s > newest_observed_at_s
        if age_s < 0 or not is_newer:
            return Judgement.OUT_OF_ORDER
        is_in_budget = age_s <= self.timing.latency_budget_s + _ROUNDING_S
        if not is_in_budget or self.timing.slot(result.observed_at_s, now_s) is None:
            return Judgement.TOO_LATE
        return Judgement.ACCEPTED


def _is_finite(result: Result) -> bool:
    arrays = (result.actions, *result.state.values())
    return math.isfinite(result.observed_at_s) and all(np.isfinite(a).all() for a in arrays)


def interpolate(
    actions: NDArray[np.float32], index: int, phase: float, tick_share: float
) -> NDArray[np.float32]:
    """Blend neighbouring actions, so that a fast loop moves smoothly through a slow chunk.

    A policy is trained on actions that are held for a whole period, so an action stands for the
    middle of its window. A tick's command is held for the tick, and stands for its middle. Blending
    from the starts of windows instead runs ahead of what was trained, see docs/log.md.

    Args:
        actions: float32 (n, 5): x, y, z [m], yaw [rad], grip.
        index: The action whose window is open.
        phase: How far into it the tick begins, 0..1.
        tick_share: Length of the tick as a share of the action's period; from 1 on the result is
            the action itself.

    Returns:
        float32[5]; the yaw turns the short way, and the grip is never blended.
    """
    action: NDArray[np.float32] = actions[index]
    offset = phase + tick_share / 2 - 0.5
    neighbour = index + (1 if offset > 0 else -1)
    if tick_share >= 1 or not 0 <= neighbour < len(actions):
        return action.copy()
    delta: NDArray[np.float32] = actions[neighbour] - action
    delta[3] = np.remainder(delta[3] + np.pi, 2 * np.pi) - np.pi
    delta[4] = 0.0
    return action + np.float32(abs(offset)) * delta
