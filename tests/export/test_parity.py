"""Graphs against the network: equal where they must be, refused where they are not."""

import runpy
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from steadyhand.contracts.errors import RefusedError, UsageError
from steadyhand.export.graphs import export_parts
from steadyhand.export.parity import END_TO_END, ParityLimits, measure_parity
from steadyhand.export.variants import load_engines

LIMITS = ParityLimits()


def errors(report, part):
    return {row.output: row.max_abs_error for row in report.rows if row.part == part}


@pytest.mark.parametrize("head", ["mlp", "transformer"])
def test_fp32_graphs_are_the_network_to_the_last_bits(head, samples, tmp_path):
    build = runpy.run_path(str(Path(__file__).with_name("conftest.py")))["build_policy"]
    policy = build(seed=2, head=head)
    report = measure_parity(policy, load_engines(export_parts(policy, tmp_path)), samples, LIMITS)
    report.raise_if_failed()
    whole = errors(report, END_TO_END)
    assert whole["position"] < 1e-5
    assert whole["yaw"] < 1e-5
    assert whole["grip"] == whole["state.grip"] == 0
    assert errors(report, "vision")["features"] < 1e-5
    assert {row.part for row in report.rows} == {"vision", "policy", END_TO_END}
    assert {row.unit for row in report.rows if row.output == "position"} == {"m"}


def test_the_test_policy_opens_and_closes_its_gripper_and_remembers(policy, samples):
    """Otherwise parity of the grip and of the state would prove nothing."""
    grips = {
        float(policy.act(s, {"state.grip": s["state.grip"]}, None)[1]["state.grip"][0])
        for s in samples
    }
    kept = [
        policy.act(s, {"state.grip": np.float32([g])}, None)[1]["state.grip"][0]
        for s in samples[:32]
        for g in (0, 1)
    ]
    assert grips == {0.0, 1.0}
    assert any(a != b for a, b in zip(kept[::2], kept[1::2], strict=True))


def test_a_graph_with_one_weight_changed_is_refused_and_the_part_is_named(
    policy, parts, samples, tmp_path
):
    model = onnx.load(parts["policy"])
    bias = model.graph.initializer[-1]
    broken = numpy_helper.to_array(bias).copy()
    broken.flat[0] += 0.5
    bias.CopyFrom(numpy_helper.from_array(broken, bias.name))
    onnx.save(model, tmp_path / "policy.onnx")
    engines = load_engines({**parts, "policy": tmp_path / "policy.onnx"})
    report = measure_parity(policy, engines, samples, LIMITS)
    with pytest.raises(RefusedError, match=r"policy position: max error .* m"):
        report.raise_if_failed()
    assert all(row.is_passed for row in report.rows if row.part == "vision")


def test_swapped_cameras_are_noticed_though_every_shape_fits(policy, parts, samples, tmp_path):
    model = onnx.load(parts["vision"])
    first, second = (value.name for value in model.graph.input)
    swap = {first: second, second: first}
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = swap.get(name, name)
    onnx.save(model, tmp_path / "vision.onnx")
    engines = load_engines({**parts, "vision": tmp_path / "vision.onnx"})
    report = measure_parity(policy, engines, samples[:8], LIMITS)
    assert not report.is_passed


def test_reduced_precision_is_held_to_the_mean_and_fp32_to_the_maximum(policy, variants, samples):
    paths = {v.part: v.path for v in variants if v.precision == "fp32"}
    quantised = next(v.path for v in variants if (v.part, v.precision) == ("policy", "int8"))
    mixed = measure_parity(policy, load_engines({**paths, "policy": quantised}), samples, LIMITS)
    kinds = {(row.part, row.output): row.statistic for row in mixed.rows}
    assert kinds["vision", "features"] == "max"
    assert kinds["policy", "position"] == kinds[END_TO_END, "position"] == "mean"


def test_limits_decide(policy, parts, samples):
    engines = load_engines(parts)
    strict = measure_parity(policy, engines, samples[:8], ParityLimits(max_position_m=1e-12))
    assert [r.output for r in strict.rows if not r.is_passed] == ["position"] * 2


def test_no_samples_and_limits_of_nothing_are_refused(policy, parts):
    with pytest.raises(UsageError, match="at least one sample"):
        measure_parity(policy, load_engines(parts), [], LIMITS)
    with pytest.raises(UsageError, match="mean_yaw_rad"):
        ParityLimits(mean_yaw_rad=0.0)
