"""The arithmetic of chunks: which action belongs to which time, and when the robot would starve.

Numbers in, numbers out; nothing here reads a clock.
"""

import math
from dataclasses import dataclass

from steadyhand.contracts.bundle import BundleManifest
from steadyhand.contracts.errors import RefusedError, UsageError
from steadyhand.runtime.config import RuntimeConfig

# A window that closes within this time is treated as closed: a tick needs time to go out (p99.9
# 5 ms beside two busy processes; with 1 ms here, 5 of 6,000 actions left after their window).
# It also absorbs the rounding of float times that fall exactly on a window's edge.
LEAD_S = 0.005
# The same for the last check, after which only the command itself is left to do.
SEND_S = 0.002

# n/f and n*(1/f) are the same number on paper.
_ROUNDING = 1 + 1e-9


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a time falls inside a chunk.

    Args:
        index: The action whose window is open.
        phase: How far into its window, 0..1.
        expires_at_s: End of that window, on the clock of the observation.
    """

    index: int
    phase: float
    expires_at_s: float


@dataclass(frozen=True, slots=True)
class ChunkTiming:
    """When the actions of a chunk may be executed.

    Args:
        action_period_s: Time [s] each action is executed; longer than ``LEAD_S``.
        chunk_length: Actions per chunk, n.
        latency_budget_s: Largest age [s] of an observation whose chunk is accepted.
        refill_threshold: Fraction g of the chunk that is left when the next one is requested.
    """

    action_period_s: float
    chunk_length: int
    latency_budget_s: float
    refill_threshold: float

    def __post_init__(self) -> None:
        if not self.action_period_s > 2 * LEAD_S or not math.isfinite(self.action_period_s):
            raise UsageError(f"action_period_s must exceed {2 * LEAD_S} s: {self.action_period_s}")
        if self.chunk_length < 1 or not 0 < self.refill_threshold <= 1:
            raise UsageError(f"impossible chunk timing: {self}")
        if not 0 < self.latency_budget_s <= self.horizon_s * _ROUNDING:
            raise UsageError(
                f"latency budget {self.latency_budget_s * 1e3:g} ms must be positive and within "
                f"the chunk's {self.horizon_s * 1e3:g} ms; set runtime.latency_budget_ms"
            )

    @property
    def horizon_s(self) -> float:
        """Time [s] a chunk covers."""
        return self.chunk_length * self.action_period_s

    @property
    def starvation_limit_s(self) -> float:
        """Latency [s] above which chunks run out before the next arrives: g*n/f."""
        return self.refill_threshold * self.chunk_length * self.action_period_s

    def slot(self, observed_at_s: float, now_s: float) -> Slot | None:
        """Find the action whose window is open: ``floor((now - observed_at) / period)``.

        Args:
            observed_at_s: Time [s] of the observation the chunk was computed from.
            now_s: Time [s] of the tick.

        Returns:
            None outside the chunk: before its observation, or when all windows are over.
        """
        age_s = now_s - observed_at_s
        if not age_s >= 0 or not math.isfinite(age_s):
            return None
        index = math.floor((age_s + LEAD_S) / self.action_period_s)
        if index >= self.chunk_length:
            return None
        phase = min(1.0, max(0.0, age_s / self.action_period_s - index))
        return Slot(index, phase, observed_at_s + (index + 1) * self.action_period_s)

    def needs_refill(self, observed_at_s: float, now_s: float) -> bool:
        """Whether at most the refill threshold is left of a chunk."""
        left_s = observed_at_s + self.horizon_s - now_s
        return left_s <= self.starvation_limit_s + LEAD_S


def chunk_timing(manifest: BundleManifest, config: RuntimeConfig) -> ChunkTiming:
    """Take the timing of a bundle, with the overrides of the configuration."""
    budget_ms, threshold = config.latency_budget_ms, config.refill_threshold
    return ChunkTiming(
        action_period_s=manifest.action_period_s,
        chunk_length=manifest.chunk_length,
        latency_budget_s=manifest.latency_budget_s if budget_ms is None else budget_ms / 1e3,
        refill_threshold=manifest.refill_threshold if threshold is None else threshold,
    )


@dataclass(frozen=True, slots=True)
class Starvation:
    """The refill arithmetic with its numbers: data for people and reports.

    Args:
        latency_p99_s: The latency that was checked.
        limit_s: g*n/f.
        refill_threshold: g.
        chunk_length: n.
        action_rate_hz: f.
    """

    latency_p99_s: float
    limit_s: float
    refill_threshold: float
    chunk_length: int
    action_rate_hz: float

    @property
    def holds(self) -> bool:
        """Whether chunks arrive before they run out."""
        return self.latency_p99_s <= self.limit_s

    def __str__(self) -> str:
        return (
            f"latency p99 {self.latency_p99_s * 1e3:.1f} ms {'<=' if self.holds else '>'} "
            f"g*n/f = {self.refill_threshold:g}*{self.chunk_length}/{self.action_rate_hz:g} Hz "
            f"= {self.limit_s * 1e3:.1f} ms"
        )


def check_starvation(timing: ChunkTiming, latency_p99_s: float) -> Starvation:
    """Check that a chunk arrives before the current one runs out.

    Args:
        timing: Chunk length n, rate f and refill threshold g.
        latency_p99_s: Declared or measured 99th percentile [s] of the inference latency.

    Returns:
        The numbers, for the report.

    Raises:
        RefusedError: If latency > g*n/f, or latency > the latency budget.

    Source: NXP, "Bringing Robotics AI to Embedded Platforms" (T_inference < T_execution); with
        g = 0.2, n = 100, f = 60 Hz the limit is 333 ms.
    """
    result = Starvation(
        latency_p99_s,
        timing.starvation_limit_s,
        timing.refill_threshold,
        timing.chunk_length,
        1.0 / timing.action_period_s,
    )
    if not result.holds:
        needed = latency_p99_s / timing.horizon_s
        fix = (
            f"set runtime.refill_threshold to at least {math.ceil(needed * 100) / 100:g}"
            if needed <= 1
            else f"one chunk covers only {timing.horizon_s * 1e3:.0f} ms"
        )
        raise RefusedError(
            f"the robot would starve: {result}; {fix}, use longer chunks, or a faster model"
        )
    if latency_p99_s > timing.latency_budget_s * _ROUNDING:
        raise RefusedError(
            f"latency p99 {latency_p99_s * 1e3:.1f} ms exceeds the latency budget of "
            f"{timing.latency_budget_s * 1e3:.1f} ms, so every chunk would be thrown away; use a "
            f"faster model or machine, or set runtime.latency_budget_ms to at most "
            f"{timing.horizon_s * 1e3:.0f}"
        )
    return result
