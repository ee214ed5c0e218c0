"""A stage: what it takes, what it makes, and what decides its bytes.

A stage is a pure function of (configuration, seed, input artifacts, code, library versions). It
works in a directory of its own and, when started again there after being killed, continues.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from steadyhand.contracts.clock import Clock
from steadyhand.contracts.executor import Executor
from steadyhand.contracts.progress import Progress

Config = TypeVar("Config")


@dataclass(frozen=True, slots=True)
class StageInput:
    """An artifact a stage reads; neither directory may be written to.

    Args:
        stage: Name of the stage that made it, or the path it was read from.
        digest: Digest of its tree.
        directory: Its files.
        measurements: What was measured while making it (timings, signatures of this machine);
            None if nothing was. Never an input of something that is compared by hash.
        config: The plain configuration of the stage that made it; empty for a path.
        headline: Its result in a few words.
        seconds: How long making it took.
    """

    stage: str
    digest: str
    directory: Path
    measurements: Path | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    headline: str = ""
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class StageContext:
    """Everything a stage is given besides its configuration.

    Args:
        directory: Where it works. It survives a kill; the stage continues from it alone.
        seed: Seed of the recipe.
        inputs: Artifacts by slot.
        executor: Runs independent units.
        progress: Where it reports.
        clock: For measurements, which never enter an artifact.
        keys: Directory of the signing key of this workspace.
    """

    directory: Path
    seed: int
    inputs: Mapping[str, StageInput]
    executor: Executor
    progress: Progress
    clock: Clock
    keys: Path

    @property
    def output(self) -> Path:
        """Directory of the artifact; the same bytes for the same inputs."""
        return self.directory / "output"

    @property
    def measurements(self) -> Path:
        """Directory of what may differ each time: timings, signatures, facts of this machine."""
        return self.directory / "measurements"


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage says about its result; the files lie in ``output`` and ``measurements``.

    Args:
        headline: The result in a few words, for the closing table.
        facts: Plain numbers of the result, e.g. ``{"success": 0.99}``.
    """

    headline: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Slot:
    """An input of a stage.

    Args:
        accepts: Kinds of stages whose artifact fits.
        is_required: Whether the recipe must name one.
    """

    accepts: tuple[str, ...]
    is_required: bool = True


@dataclass(frozen=True, slots=True)
class Stage(Generic[Config]):
    """One kind of stage.

    Args:
        kind: Its name in recipes.
        summary: One line for people.
        config: The dataclass its keys are read into.
        slots: Its inputs by name.
        packages: Packages of this project whose code decides its bytes; their source is hashed,
            so that changed code is never served from the cache.
        libraries: Distributions whose versions decide its bytes.
        function: What it does.
        is_published: Whether its files are put into the run directory for people to open.
    """

    kind: str
    summary: str
    config: type[Config]
    slots: Mapping[str, Slot]
    packages: tuple[str, ...]
    libraries: tuple[str, ...]
    function: Callable[[StageContext, Config], StageResult]
    is_published: bool = False


Catalog = Mapping[str, Stage[Any]]
