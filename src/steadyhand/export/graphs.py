"""Write the two parts of a policy as ONNX graphs: ``vision`` and ``policy``.

The graphs take raw observations and return absolute actions; what the policy remembers is an
explicit input (``state.grip``) and an explicit output (``next.state.grip``). This module knows
nothing about precision: it writes fp32. Equal weights give equal bytes, in any process.
"""

import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
import torch
from torch import nn
from torch.jit._trace import TracerWarning

from steadyhand.contracts.errors import DataError
from steadyhand.contracts.policy import Policy
from steadyhand.contracts.specs import ArraySpec, Specs
from steadyhand.models.threads import torch_threads
from steadyhand.store.atomic import write_file

VISION, HEAD = "vision", "policy"
PARTS = (VISION, HEAD)
FEATURES = "features"
ACTIONS = "actions"
NEXT = "next."
# The oldest operator set with everything a policy here needs: what most engines read.
OPSET = 17


class PartitionedNetwork(Protocol):
    """A network that is already cut into the two parts."""

    @property
    def vision(self) -> nn.Module:
        """Images (uint8 [1, height, width, 3], one argument per camera) to features [1, F]."""
        ...

    @property
    def head(self) -> nn.Module:
        """Features, state vector, policy state to (actions [1, n, size], next policy state)."""
        ...


class PartitionedPolicy(Policy, Protocol):
    """A policy whose network can be exported."""

    @property
    def network(self) -> PartitionedNetwork:
        """The network that :meth:`act` runs."""
        ...


@dataclass(frozen=True, slots=True)
class PartInterface:
    """What one graph takes and gives, with the leading batch of one.

    Args:
        name: Part name.
        inputs: Input specs in graph order.
        outputs: Output specs in graph order.
    """

    name: str
    inputs: tuple[ArraySpec, ...]
    outputs: tuple[ArraySpec, ...]


def image_keys(policy: PartitionedPolicy) -> tuple[str, ...]:
    """Return the observation keys that the vision part reads, in the order it takes them."""
    return tuple(k for k, s in policy.observation_specs.items() if len(s.shape) == 3)


def vector_keys(policy: PartitionedPolicy) -> tuple[str, ...]:
    """Return the observation keys that go to the policy part directly."""
    return tuple(k for k, s in policy.observation_specs.items() if len(s.shape) != 3)


def part_interfaces(policy: PartitionedPolicy) -> tuple[PartInterface, ...]:
    """Return the interfaces of the parts, in execution order.

    Args:
        policy: The policy; its vision part runs once to learn the number of features.

    Raises:
        DataError: If the network does not return what the policy declares.
    """
    images, vectors = _examples(policy)
    with torch_threads(1), torch.inference_mode():
        features = policy.network.vision(*images)
        actions, *states = policy.network.head(features, *vectors)
    if features.ndim != 2 or actions.shape[-1:] != policy.action_spec.shape:
        raise DataError(
            f"the network returns features {list(features.shape)} and actions "
            f"{list(actions.shape)}; expected [1, F] and [1, n, {policy.action_spec.shape[0]}]"
        )
    if len(states) != len(policy.state_specs):
        raise DataError(f"the head returns {len(states)} states, not {sorted(policy.state_specs)}")
    observed = policy.observation_specs
    feature_spec = ArraySpec(FEATURES, tuple(features.shape), "float32")
    outputs = [ArraySpec(ACTIONS, tuple(actions.shape), "float32")]
    outputs += [_batched(s, NEXT + k) for k, s in policy.state_specs.items()]
    return (
        PartInterface(VISION, _select(observed, image_keys(policy)), (feature_spec,)),
        PartInterface(
            HEAD,
            (
                feature_spec,
                *_select(observed, vector_keys(policy)),
                *_select(policy.state_specs, tuple(policy.state_specs)),
            ),
            tuple(outputs),
        ),
    )


def export_parts(policy: PartitionedPolicy, directory: Path) -> dict[str, Path]:
    """Write ``vision.onnx`` and ``policy.onnx`` in fp32.

    Args:
        policy: The trained policy.
        directory: Where to write; created if missing.

    Returns:
        Path by part name, in execution order.

    Raises:
        DataError: If the network does not match its specs or the graph is not valid ONNX.
        StorageError: If writing fails.
    """
    vision, head = part_interfaces(policy)
    images, vectors = _examples(policy)
    features = torch.zeros(vision.outputs[0].shape)
    directory.mkdir(parents=True, exist_ok=True)
    paths: dict[str, Path] = {}
    for interface, module, examples in (
        (vision, policy.network.vision, images),
        (head, policy.network.head, (features, *vectors)),
    ):
        paths[interface.name] = directory / f"{interface.name}.onnx"
        write_file(paths[interface.name], trace(module, examples, interface))
    return paths


def trace(module: nn.Module, examples: tuple[torch.Tensor, ...], interface: PartInterface) -> bytes:
    """Return a module as a checked, self-contained ONNX file.

    The TorchScript exporter is used on purpose: the newer one gave wrong numbers with group
    normalisation (errors of 0.2-0.7 where this one is exact to 4e-7). Parity is tested anyway.

    Args:
        module: The network part.
        examples: One example per input; shapes and types become those of the graph.
        interface: Names of inputs and outputs.

    Raises:
        DataError: If the graph would depend on the examples, or is not valid.
    """
    with torch_threads(1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # The exporter deprecates itself.
        warnings.filterwarnings("ignore", r"You are using the legacy Torch", DeprecationWarning)
        warnings.filterwarnings("ignore", r"The feature will be removed", DeprecationWarning)
        model = _export(module, examples, interface)
    doubts = [str(w.message) for w in caught if issubclass(w.category, TracerWarning)]
    if doubts:
        raise DataError(
            f"part {interface.name!r} decides in Python from values, so its graph would be right "
            f"for one input only: {doubts[0]}"
        )
    for other in caught:
        warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    return clean_bytes(_without_shared_weights(model))


def _export(
    module: nn.Module, examples: tuple[torch.Tensor, ...], interface: PartInterface
) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traced.onnx"
        torch.onnx.export(
            module,
            examples,
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=[s.name for s in interface.inputs],
            output_names=[s.name for s in interface.outputs],
        )
        return onnx.load(path)


def _without_shared_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give every use of a weight its own copy, under the weight's own name.

    The exporter merges equal weights (biases that are still zero) behind ``Identity`` nodes, where
    quantisation does not find them.
    """
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    weights = {tensor.name: tensor for tensor in plain.graph.initializer}
    del plain.graph.node[:]
    for node in model.graph.node:
        if node.op_type == "Identity" and node.input[0] in weights:
            copy = plain.graph.initializer.add()
            copy.CopyFrom(weights[node.input[0]])
            copy.name = node.output[0]
        else:
            plain.graph.node.add().CopyFrom(node)
    return plain


def clean_bytes(model: onnx.ModelProto) -> bytes:
    """Return a model as bytes that hold nothing but the computation.

    Args:
        model: Any model; it is not changed.

    Raises:
        DataError: If the model is not valid, or keeps weights in other files.
    """
    clean = onnx.ModelProto()
    clean.CopyFrom(model)
    clean.producer_name, clean.producer_version, clean.doc_string = "steadyhand", "", ""
    del clean.metadata_props[:]
    clean.graph.doc_string = ""
    del clean.graph.value_info[:]
    for node in clean.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    outside = [t.name for t in clean.graph.initializer if t.external_data]
    if outside:
        raise DataError(f"weights {outside} lie in other files; a part must be one file")
    try:
        onnx.checker.check_model(clean, full_check=True)
    except onnx.checker.ValidationError as error:
        raise DataError(f"the graph is not valid ONNX: {error}") from error
    data: bytes = clean.SerializeToString(deterministic=True)
    return data


def _select(specs: Specs, names: tuple[str, ...]) -> tuple[ArraySpec, ...]:
    return tuple(_batched(specs[name], name) for name in names)


def _batched(spec: ArraySpec, name: str) -> ArraySpec:
    # Shape and type only: that is what a graph knows, and a robot compares the two.
    return ArraySpec(name, (1, *spec.shape), spec.dtype)


def _examples(
    policy: PartitionedPolicy,
) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    def zeros(spec: ArraySpec) -> torch.Tensor:
        return torch.from_numpy(np.zeros((1, *spec.shape), spec.dtype))

    images = tuple(zeros(policy.observation_specs[k]) for k in image_keys(policy))
    vectors = [zeros(policy.observation_specs[k]) for k in vector_keys(policy)]
    vectors += [zeros(s) for s in policy.state_specs.values()]
    return images, tuple(vectors)
