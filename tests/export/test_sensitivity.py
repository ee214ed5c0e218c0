"""The sweep: every precision measured on the same episodes, then chosen from the table."""

import json
import pickle  # noqa: TID251  what executors send between processes

import numpy as np
import pytest

from steadyhand.contracts.clock import ManualClock, MonotonicClock
from steadyhand.contracts.errors import UsageError
from steadyhand.contracts.progress import Silent
from steadyhand.export.choice import ChoiceRule
from steadyhand.export.draft import GraphPolicyLoader, draft_manifest
from steadyhand.export.parity import ParityLimits
from steadyhand.export.sensitivity import (
    LatencyConfig,
    SensitivityBench,
    find_precisions,
    measure_timings,
)

INT8_BOTH = {"vision": "int8", "policy": "int8"}


class Episodes:
    """Runs the graphs on the samples; an episode succeeds as the given function says."""

    def __init__(self, judge):
        self.judge = judge
        self.ran = []

    def __call__(self, loader):
        precisions = {part.name: part.precision for part in loader.manifest.parts}
        self.ran.append(precisions)
        graphs = loader()
        return [self.judge(precisions, graphs, i) for i in range(20)]


@pytest.fixture(scope="module")
def timings(variants, samples):
    return measure_timings(variants, samples[:4], LatencyConfig(20, 2), MonotonicClock())


@pytest.fixture
def sweep(policy, variants, description, samples, timings):
    def run(judge):
        episodes = Episodes(judge)
        limits = ParityLimits()
        bench = SensitivityBench(
            policy, variants, description, samples[:8], episodes, limits, timings
        )
        # Timings of this busy machine decide nothing here.
        return find_precisions(bench, ChoiceRule(latency_ratio=100), Silent()), episodes.ran

    return run


def test_each_precision_of_each_part_has_a_row_and_the_whole_choice_was_run(sweep):
    table, ran = sweep(lambda precisions, policy, index: True)
    asked = [tuple(p for _, p in row.combination) for row in table.rows]
    assert asked[:5] == [
        ("fp32", "fp32"),
        ("fp16", "fp32"),
        ("int8", "fp32"),
        ("fp32", "fp16"),
        ("fp32", "int8"),
    ]
    assert dict(table.choice.combination) == INT8_BOTH
    assert ran[-1] == INT8_BOTH
    assert table.chosen.num_bytes < 0.5 * table.reference.num_bytes
    assert [path.name for path in table.paths.values()] == ["vision-int8.onnx", "policy-int8.onnx"]


def test_parts_that_fail_only_together_are_not_shipped_together(sweep):
    table, ran = sweep(lambda precisions, policy, index: precisions != INT8_BOTH)
    assert INT8_BOTH in ran
    assert dict(table.choice.combination) != INT8_BOTH
    assert "int8" in dict(table.choice.combination).values()


def test_a_part_whose_int8_loses_episodes_stays_in_fp32(sweep):
    table, _ = sweep(lambda precisions, policy, index: precisions["vision"] == "fp32" or index > 0)
    assert dict(table.choice.combination) == {"vision": "fp32", "policy": "int8"}
    assert any("1 of 20 episodes fewer" in reason for reason in table.choice.reasons)


def test_episodes_run_the_graphs_that_would_be_shipped(sweep, policy, samples):
    def judge(precisions, graphs, index):
        sample = samples[index]
        state = {"state.grip": sample["state.grip"]}
        chunk, _ = graphs.act(sample, state, None)
        wanted, _ = policy.act(sample, state, None)
        error = np.abs(chunk.actions - wanted.actions)[:, :3].mean()
        assert chunk.period_s == wanted.period_s
        return (error < 1e-6) if set(precisions.values()) == {"fp32"} else 1e-6 < error < 0.02

    table, _ = sweep(judge)
    assert all(all(row.success) for row in table.rows if row.is_offered)


def test_evidence_has_no_timings_and_equal_runs_give_equal_evidence(sweep):
    (first, _), (second, _) = (sweep(lambda precisions, policy, index: True) for _ in range(2))
    texts = [json.dumps(t.to_json(has_timings=False), sort_keys=True) for t in (first, second)]
    assert texts[0] == texts[1]
    assert "_ms" not in texts[0]
    assert "median_ms" in json.dumps(first.to_json(has_timings=True))


def test_the_loader_travels_to_other_processes(policy, parts, description, samples):
    manifest = draft_manifest(policy, parts, description)
    loader = GraphPolicyLoader(manifest, tuple(parts.values()))
    loaded = pickle.loads(pickle.dumps(loader))()
    state = loaded.initial_state()
    found, following = loaded.act(samples[0], state, None)
    wanted, expected = policy.act(samples[0], state, None)
    np.testing.assert_allclose(found.actions, wanted.actions, atol=1e-5)
    assert following == expected


def test_timing_uses_the_clock_it_is_given_and_counts_no_warm_up(variants, samples):
    still = measure_timings(variants, samples[:2], LatencyConfig(5, 3), ManualClock())
    offered = {(v.part, v.precision) for v in variants if v.is_offered}
    assert set(still) == offered
    assert all(seconds.shape == (5,) and not seconds.any() for seconds in still.values())
    with pytest.raises(UsageError, match="num_rounds"):
        LatencyConfig(num_rounds=0)
