"""Settings are checked when they are built, and say the fix."""

import math

import pytest

from steadyhand.contracts.errors import UsageError
from steadyhand.runtime.config import RuntimeConfig


def test_the_defaults_are_valid_and_have_the_fields_of_the_templates():
    config = RuntimeConfig()
    assert config.model_partition == ("vision", "policy")
    assert config.batch_size == 1
    assert config.async_inference
    assert config.tick_period_s == 0.02


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"control_rate_hz": 0}, "runtime.control_rate_hz must be a positive number, got 0"),
        ({"control_rate_hz": math.nan}, "runtime.control_rate_hz must be a positive number"),
        ({"latency_budget_ms": -1.0}, "runtime.latency_budget_ms must be a positive number"),
        ({"hold_ms": math.inf}, "runtime.hold_ms must be a positive number"),
        ({"batch_size": 4}, "runtime.batch_size must be 1, got 4: a robot has one observation"),
        ({"model_partition": ()}, "runtime.model_partition must name each part once"),
        ({"model_partition": ("a", "a")}, "runtime.model_partition must name each part once"),
        ({"refill_threshold": 1.5}, r"runtime.refill_threshold must be in \(0, 1\], got 1.5"),
        ({"rearm_results": 0}, "runtime.rearm_results must be at least 1, got 0"),
        ({"watchdog_interval_ms": 30.0}, "shorter than two ticks at 50 Hz.* Set at least 40"),
    ],
)
def test_a_wrong_setting_names_itself_and_the_fix(changes, message):
    with pytest.raises(UsageError, match=message):
        RuntimeConfig(**changes)
