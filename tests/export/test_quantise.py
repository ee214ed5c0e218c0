"""Reduced precision: what is quantised, what it costs, and what the engine makes of it."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from steadyhand.contracts.errors import DataError, UnknownNameError, UsageError
from steadyhand.export.effective import read_effective_precision, session_options
from steadyhand.export.parity import END_TO_END, ParityLimits, measure_parity
from steadyhand.export.quantise import METHODS, QuantisationConfig, convert_fp16, quantise_int8
from steadyhand.export.samples import part_inputs
from steadyhand.export.variants import load_engines

EVERYTHING = ("Conv", "Gemm", "MatMul", "Softmax", "Mul", "Add", "Sigmoid", "Concat", "Relu")


def whole_errors(policy, paths, samples):
    report = measure_parity(policy, load_engines(paths), samples, ParityLimits())
    return {row.output: row.mean_abs_error for row in report.rows if row.part == END_TO_END}


@pytest.fixture(scope="module")
def fed(parts, samples):
    return part_inputs(load_engines(parts), samples)


def test_int8_is_executed_in_int8_by_every_product_with_a_weight(variants):
    for variant in variants:
        if variant.precision == "int8":
            assert variant.is_offered
            effective = read_effective_precision(variant.path)
            assert effective.num_int8 == {"vision": 8, "policy": 3}[variant.part]


def test_no_sum_of_two_products_can_saturate_16_bits(variants):
    """Without VNNI, x86 adds u8 * s8 pairs in 16 bits; 8-bit weights gave 10 times the error."""
    for variant in variants:
        if variant.precision == "int8":
            graph = onnx.load(variant.path).graph
            weights = [
                numpy_helper.to_array(t)
                for t in graph.initializer
                if t.data_type == onnx.TensorProto.INT8 and t.name.endswith("_quantized")
            ]
            assert weights
            assert all(255 * 2 * int(np.abs(w.astype(int)).max()) <= 32767 for w in weights)


def test_the_engine_computes_what_the_quantised_graph_says(variants, fed):
    for variant in variants:
        if variant.precision != "int8":
            continue
        literal = onnxruntime.InferenceSession(
            variant.path,
            session_options(onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL),
            providers=["CPUExecutionProvider"],
        )
        engine = load_engines({variant.part: variant.path})[variant.part]
        for inputs in fed[variant.part][:16]:
            found = next(iter(engine.run(inputs).values()))
            wanted = literal.run(None, inputs)[0]
            step = 0.01  # about one step of the last activation's scale
            assert np.abs(found - wanted).mean() < 0.1 * step
            assert np.abs(found - wanted).max() < 2 * step


def test_what_reads_a_softmax_stays_in_float(variants):
    path = next(v.path for v in variants if (v.part, v.precision) == ("vision", "int8"))
    graph = onnx.load(path).graph
    spread = {n.output[0] for n in graph.node if n.op_type == "Softmax"}
    readers = [n.op_type for n in graph.node if spread & set(n.input)]
    assert readers == ["MatMul", "MatMul"]


def test_quantising_only_products_is_harmless_and_quantising_everything_is_not(
    policy, parts, variants, fed, samples, tmp_path
):
    """The prototype lost 0 episodes with the first and all of them with the second."""
    products = {v.part: v.path for v in variants if v.precision == "int8"}
    everything = {part: tmp_path / f"{part}.onnx" for part in parts}
    for part, source in parts.items():
        quantise_int8(source, fed[part], everything[part], QuantisationConfig(operators=EVERYTHING))
    small, large = (whole_errors(policy, p, samples) for p in (products, everything))
    assert small["position"] < 0.003
    assert large["position"] > 2 * small["position"]
    assert small["grip"] < 0.03
    assert large["grip"] > 0.1


@pytest.mark.parametrize("method", METHODS)
def test_every_calibration_method_keeps_the_policy_head_usable(
    method, policy, parts, fed, samples, tmp_path, capfd
):
    target = tmp_path / "policy.onnx"
    quantise_int8(parts["policy"], fed["policy"], target, QuantisationConfig(method=method))
    assert whole_errors(policy, {**parts, "policy": target}, samples)["position"] < 0.01
    assert capfd.readouterr().out == ""


def test_equal_inputs_give_equal_bytes_also_in_a_new_process(variants, from_a_new_process):
    reduced = [v for v in variants if v.precision != "fp32"]
    assert len(reduced) == 4
    for variant in reduced:
        assert (from_a_new_process / variant.path.name).read_bytes() == variant.path.read_bytes()


def test_other_calibration_data_give_other_bytes(parts, fed, variants, tmp_path):
    quantise_int8(parts["policy"], fed["policy"][:4], tmp_path / "x.onnx", QuantisationConfig())
    path = next(v.path for v in variants if (v.part, v.precision) == ("policy", "int8"))
    assert (tmp_path / "x.onnx").read_bytes() != path.read_bytes()


def test_int8_files_are_smaller_and_hold_no_library_notes(parts, variants):
    for variant in variants:
        model = onnx.load(variant.path)
        assert not model.metadata_props
        assert not any(t.external_data for t in model.graph.initializer)
        if variant.precision == "int8":
            assert variant.path.stat().st_size < 0.6 * parts[variant.part].stat().st_size


def test_fp16_is_judged_by_what_the_engine_executes_and_not_by_the_file(parts, variants, tmp_path):
    """This holds on engines with fp16 kernels, too: then products are counted as fp16."""
    half = tmp_path / "half.onnx"
    convert_fp16(parts["policy"], half)
    assert any(t.data_type == onnx.TensorProto.FLOAT16 for t in onnx.load(half).graph.initializer)
    effective = read_effective_precision(half)
    variant = next(v for v in variants if (v.part, v.precision) == ("policy", "fp16"))
    assert variant.is_offered == (effective.num_fp16 > 0)
    if not variant.is_offered:
        assert effective.num_fp32 == 3
        assert "not offered by this engine (casts inserted)" in variant.effective


def test_a_part_without_products_or_without_data_is_refused(parts, tmp_path):
    with pytest.raises(DataError, match="calibration inputs"):
        quantise_int8(parts["policy"], [], tmp_path / "x.onnx", QuantisationConfig())
    inputs = [{"features": np.zeros((1, 128), np.float32)}]
    with pytest.raises(DataError, match="none of the operators"):
        quantise_int8(
            parts["policy"], inputs, tmp_path / "x.onnx", QuantisationConfig(operators=("Conv",))
        )
    assert not list(tmp_path.iterdir())


def test_a_mistyped_method_names_the_near_one():
    with pytest.raises(UnknownNameError, match="did you mean 'minmax'"):
        QuantisationConfig(method="min_max")
    with pytest.raises(UsageError, match="empty"):
        QuantisationConfig(operators=())
