"""The kinds of stages there are. A kind's module is loaded when a recipe uses it.

Loading them all would import torch, the simulator and the video codecs to print a help text.
"""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from steadyhand.contracts.catalog import lookup
from steadyhand.contracts.errors import MissingExtraError
from steadyhand.jobs.stage import Stage

MODULES: Mapping[str, str] = {
    "collect": "steadyhand.jobs.stages.collect",
    "check": "steadyhand.jobs.stages.check",
    "train": "steadyhand.jobs.stages.train",
    "evaluate": "steadyhand.jobs.stages.evaluate",
    "export": "steadyhand.jobs.stages.export",
    "reevaluate": "steadyhand.jobs.stages.reevaluate",
    "realtime": "steadyhand.jobs.stages.realtime",
    "report": "steadyhand.jobs.stages.report",
}
# Which extra brings a package that a stage could not import.
EXTRAS: Mapping[str, str] = {
    "av": "data",
    "gymnasium": "sim",
    "matplotlib": "evaluation",
    "mujoco": "sim",
    "onnx": "export",
    "pyarrow": "data",
    "scipy": "evaluation",
    "torch": "train",
}


class StageCatalog(Mapping[str, Stage[Any]]):
    """The stages by kind, each loaded on its first use.

    Args:
        modules: By kind, the module whose ``STAGE`` it is.
    """

    def __init__(self, modules: Mapping[str, str]) -> None:
        self._modules = modules

    def __getitem__(self, kind: str) -> Stage[Any]:
        """Return a stage.

        Raises:
            UnknownNameError: If there is no such kind; names the nearest one.
            MissingExtraError: If a package it needs is not installed.
        """
        name = lookup("stage kind", kind, self._modules)
        try:
            stage: Stage[Any] = importlib.import_module(name).STAGE
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in EXTRAS:
                raise
            raise MissingExtraError(package, EXTRAS[package]) from error
        return stage

    def __contains__(self, kind: object) -> bool:
        """Whether there is such a kind; loads nothing."""
        return kind in self._modules

    def __iter__(self) -> Iterator[str]:
        """Yield the kinds; loads nothing."""
        return iter(self._modules)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._modules)


STAGES = StageCatalog(MODULES)
