"""Stories about the table and what is chosen from it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadyhand.contracts.errors import RefusedError, UsageError
from steadyhand.export.choice import (
    WHOLE,
    ChoiceRule,
    Latency,
    SensitivityRow,
    choose,
)
from steadyhand.export.parity import END_TO_END, ParityReport, ParityRow

SIZES = {"fp32": 1000, "fp16": 500, "int8": 250}
RULE = ChoiceRule(success_margin=0.02, latency_ratio=1.25)


def row(
    vision, policy, *, solved=100, of=100, median_ms=1.0, error_m=1e-5, offered=True, size=None
):
    """One row; by default everything holds."""
    combination = (("vision", vision), ("policy", policy))
    latency = ((WHOLE, Latency(median_ms, median_ms * 1.2, median_ms * 1.5)),)
    position = ParityRow(END_TO_END, "position", "m", error_m * 3, error_m, "mean", 0.004)
    return SensitivityRow(
        combination,
        effective=(("vision", "as asked" if offered else "not offered"),),
        is_offered=offered,
        num_bytes=SIZES[vision] + SIZES[policy] if size is None else size,
        parity=ParityReport((position,), 8) if offered else None,
        success=tuple(i < solved for i in range(of)) if offered else (),
        latency=latency if offered else (),
    )


REFERENCE = row("fp32", "fp32")


def chosen(*rows):
    return tuple(precision for _, precision in choose(rows, RULE).combination)


def test_nothing_to_choose_from_leaves_fp32():
    choice = choose([REFERENCE], RULE)
    assert choice.is_measured
    assert dict(choice.combination) == {"vision": "fp32", "policy": "fp32"}


def test_an_untested_combination_is_returned_to_be_measured_and_not_trusted():
    choice = choose([REFERENCE, row("int8", "fp32"), row("fp32", "int8")], RULE)
    assert not choice.is_measured
    assert dict(choice.combination) == {"vision": "int8", "policy": "int8"}
    assert "to be measured as a whole" in choice.reasons[-1]


def test_the_smallest_combination_that_holds_as_a_whole_wins():
    rows = [REFERENCE, row("int8", "fp32"), row("fp32", "int8"), row("int8", "int8")]
    assert chosen(*rows) == ("int8", "int8")


def test_parts_that_hold_alone_but_fail_together_fall_back_to_the_next_smallest():
    rows = [
        REFERENCE,
        row("int8", "fp32", size=1250),
        row("fp32", "int8", size=1200),
        row("int8", "int8", solved=90),
    ]
    choice = choose(rows, RULE)
    assert tuple(dict(choice.combination).values()) == ("fp32", "int8")
    assert any("solves 10 of 100 episodes fewer" in reason for reason in choice.reasons)


def test_the_reference_plans_vision_fp16_policy_int8_only_where_fp16_exists():
    offered = [REFERENCE, row("fp16", "fp32"), row("fp32", "int8"), row("fp16", "int8")]
    assert chosen(*offered) == ("fp16", "int8")
    absent = [REFERENCE, row("fp16", "fp32", offered=False), row("fp32", "int8")]
    assert chosen(*absent) == ("fp32", "int8")


@pytest.mark.parametrize(
    ("solved", "expected"),
    [(98, ("int8", "fp32")), (97, ("fp32", "fp32")), (100, ("int8", "fp32"))],
)
def test_success_may_drop_by_the_margin_and_not_by_one_episode_more(solved, expected):
    assert chosen(REFERENCE, row("int8", "fp32", solved=solved)) == expected


def test_a_numeric_error_beyond_its_limit_is_not_forgiven_by_success():
    choice = choose([REFERENCE, row("int8", "fp32", error_m=0.005)], RULE)
    assert dict(choice.combination)["vision"] == "fp32"
    assert "too inaccurate" in choice.reasons[0]


def test_an_error_that_is_not_a_number_is_too_inaccurate():
    assert chosen(REFERENCE, row("int8", "fp32", error_m=float("nan"))) == ("fp32", "fp32")


def test_noise_in_timings_decides_nothing_and_a_gross_difference_does():
    assert chosen(REFERENCE, row("int8", "fp32", median_ms=1.24)) == ("int8", "fp32")
    assert chosen(REFERENCE, row("int8", "fp32", median_ms=3.1)) == ("fp32", "fp32")


@given(
    st.lists(st.floats(0.5, 1.24), min_size=4, max_size=4),
    st.permutations(list(itertools.product(("fp32", "int8"), repeat=2))),
)
def test_the_choice_depends_neither_on_timing_noise_nor_on_the_order_of_rows(times, order):
    times = dict(zip(order, times, strict=True)) | {("fp32", "fp32"): 1.0}
    rows = [row(*pair, median_ms=times[pair]) for pair in order]
    quiet = [row(*pair) for pair in sorted(order)]
    noisy, expected = choose(rows, RULE), choose(quiet, RULE)
    assert noisy.combination == expected.combination
    assert set(noisy.reasons) == set(expected.reasons)


def test_equal_sizes_are_decided_by_name_and_not_by_the_order_of_rows():
    half, quarter = row("fp16", "fp32", size=1250), row("int8", "fp32", size=1250)
    assert chosen(REFERENCE, half, quarter) == chosen(REFERENCE, quarter, half) == ("fp16", "fp32")


def test_an_fp32_export_that_differs_from_the_network_is_refused():
    with pytest.raises(RefusedError, match=r"differ from the network.*position"):
        choose([row("fp32", "fp32", error_m=0.2), row("int8", "fp32")], RULE)


def test_unpaired_episodes_are_refused():
    with pytest.raises(UsageError, match="same episodes"):
        choose([REFERENCE, row("int8", "fp32", of=50, solved=50)], RULE)


def test_a_table_without_fp32_says_what_is_missing():
    with pytest.raises(UsageError, match="every part in fp32"):
        choose([row("int8", "int8")], RULE)


@pytest.mark.parametrize("bad", [{"success_margin": -0.1}, {"latency_ratio": 1.0}])
def test_a_rule_that_cannot_hold_is_refused(bad):
    with pytest.raises(UsageError):
        ChoiceRule(**bad)


def test_reasons_hold_no_timings():
    reasons = choose([REFERENCE, row("int8", "fp32", median_ms=3.14159)], RULE).reasons
    assert not any("3.14" in reason for reason in reasons)
