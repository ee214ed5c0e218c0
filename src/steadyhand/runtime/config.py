"""Settings of the robot side, with units, checked when built."""

import math
from dataclasses import asdict, dataclass

from steadyhand.contracts.errors import UsageError

_POSITIVE = (
    "control_rate_hz",
    "latency_budget_ms",
    "watchdog_interval_ms",
    "observation_budget_ms",
    "hold_ms",
    "safe_ms",
    "hang_budgets",
    "restart_backoff_ms",
    "declared_latency_p99_ms",
)


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """How a bundle is run.

    Args:
        control_rate_hz: Ticks per second of the control loop; commands go out at this rate.
        model_partition: Names of the bundle's parts in execution order; must match the bundle.
        batch_size: Observations per inference; a robot has one.
        async_inference: Infer in a process of its own while the loop goes on. False: the loop
            waits for each inference; the latency budget holds all the same.
        latency_budget_ms: Largest age of an observation whose chunk may still be executed; None
            takes the bundle's.
        refill_threshold: Ask for the next chunk when this fraction of the current one is left;
            None takes the bundle's.
        watchdog_interval_ms: The watchdog stops the robot when no tick finished for this long.
        observation_budget_ms: A reading older than this means that the robot went silent.
        hold_ms: How long the last command is held when no valid action is left.
        safe_ms: How long the safe controller acts after that, before the robot is stopped.
        rearm_results: Consecutive good results that end the safe controller.
        hang_budgets: A worker that owes a result for this many latency budgets is restarted.
        restart_backoff_ms: Pause before a restart; doubles with each restart in a row, up to 16x.
        declared_latency_p99_ms: Inference latency to check the refill arithmetic with, besides
            the one that is measured when the worker starts.
        seed: Seed of the policy's random stream.
    """

    control_rate_hz: float = 50.0
    model_partition: tuple[str, ...] = ("vision", "policy")
    batch_size: int = 1
    async_inference: bool = True
    latency_budget_ms: float | None = None
    refill_threshold: float | None = None
    watchdog_interval_ms: float = 250.0
    observation_budget_ms: float = 300.0
    hold_ms: float = 400.0
    safe_ms: float = 5000.0
    rearm_results: int = 3
    hang_budgets: float = 3.0
    restart_backoff_ms: float = 50.0
    declared_latency_p99_ms: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        values = asdict(self)
        for name in _POSITIVE:
            value = values[name]
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise UsageError(f"runtime.{name} must be a positive number, got {value!r}")
        if self.batch_size != 1:
            raise UsageError(
                f"runtime.batch_size must be 1, got {self.batch_size}: a robot has one observation "
                "at a time, and waiting for a second one only adds latency"
            )
        if not self.model_partition or len(set(self.model_partition)) != len(self.model_partition):
            raise UsageError(
                f"runtime.model_partition must name each part once, got {self.model_partition!r}; "
                'for example ("vision", "policy")'
            )
        threshold = self.refill_threshold
        if threshold is not None and not 0 < threshold <= 1:
            raise UsageError(
                f"runtime.refill_threshold must be in (0, 1], got {threshold!r}: it is the "
                "fraction of the chunk that is left when the next one is asked for"
            )
        if self.rearm_results < 1:
            raise UsageError(f"runtime.rearm_results must be at least 1, got {self.rearm_results}")
        if self.watchdog_interval_ms < 2e3 / self.control_rate_hz:
            raise UsageError(
                f"runtime.watchdog_interval_ms={self.watchdog_interval_ms:g} is shorter than two "
                f"ticks at {self.control_rate_hz:g} Hz; one missed tick would stop the robot. Set "
                f"at least {2e3 / self.control_rate_hz:g}"
            )

    @property
    def tick_period_s(self) -> float:
        """Time [s] between two ticks."""
        return 1.0 / self.control_rate_hz
