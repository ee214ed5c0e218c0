"""Engines: execute one exported graph."""

from typing import Any, Protocol

from numpy.typing import NDArray

from steadyhand.contracts.specs import Arrays, Specs


class Engine(Protocol):
    """A loaded graph."""

    @property
    def input_specs(self) -> Specs:
        """Specs of the inputs."""
        ...

    @property
    def output_specs(self) -> Specs:
        """Specs of the outputs."""
        ...

    @property
    def precision(self) -> str:
        """The effective precision, read from the graph: ``fp32``, ``fp16`` or ``int8``."""
        ...

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Execute the graph once.

        Raises:
            SpecError: If an input does not fit its spec.
        """
        ...
