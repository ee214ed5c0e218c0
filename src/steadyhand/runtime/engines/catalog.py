"""The engines a bundle can run on. A literal table; nothing registers itself."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from steadyhand.contracts.engine import Engine
from steadyhand.runtime.engines.onnxruntime_engine import OnnxRuntimeEngine

CATALOG: Mapping[str, Callable[[bytes], Engine]] = MappingProxyType(
    {"onnxruntime": OnnxRuntimeEngine}
)
