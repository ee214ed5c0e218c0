"""Stages without robots: small, resumable, and slow enough to be killed in the middle."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from steadyhand.contracts.errors import RefusedError
from steadyhand.jobs.stage import Slot, Stage, StageResult


@dataclass(frozen=True, slots=True)
class CountConfig:
    """How far to count."""

    num_items: int = 8
    pause_s: float = 0.0
    payload_bytes: int = 0
    tags: tuple[str, ...] = ()

    def __post_init__(self):
        if self.num_items < 1:
            raise ValueError(f"num_items must be at least 1, got {self.num_items}")


@dataclass(frozen=True, slots=True)
class Power:
    """An exponent."""

    exponent: int = 2


@dataclass(frozen=True, slots=True)
class SumConfig:
    """What to add up."""

    power: Power = Power()
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class GateConfig:
    """Which total is too large, and what goes wrong."""

    limit: int = 10**9
    accident: str = "none"


@dataclass(frozen=True, slots=True)
class SlowSquare:
    """Squares after a pause."""

    pause_s: float

    def __call__(self, x):
        time.sleep(self.pause_s)
        return x * x


def count(context, config: CountConfig) -> StageResult:
    """Write one file per item; continue behind the last one after a kill."""
    work = context.directory / "work"
    work.mkdir(exist_ok=True)
    done = len(list(work.glob("*.json")))
    items = range(done, config.num_items)
    for item, value in zip(
        items, context.executor.map(SlowSquare(config.pause_s), items), strict=True
    ):
        partial = work / "partial"
        payload = "x" * config.payload_bytes
        row = {"item": item, "value": value, "seed": context.seed, "payload": payload}
        partial.write_text(json.dumps(row))
        partial.replace(work / f"{item:04d}.json")
        context.progress.metrics(item, {"value": value})
        context.progress.update("count", item + 1, config.num_items, "items")
    for path in sorted(work.glob("*.json")):
        (context.output / path.name).write_bytes(path.read_bytes())
        time.sleep(config.pause_s / 10)
    (context.measurements / "time.json").write_text(json.dumps(time.monotonic()))
    return StageResult(f"{config.num_items} items", {"num_items": config.num_items})


def add(context, config: SumConfig) -> StageResult:
    """Add up the values of an input."""
    files = sorted(context.inputs["numbers"].directory.glob("*.json"))
    total = sum(json.loads(f.read_text())["value"] ** config.power.exponent for f in files)
    (context.output / "total.json").write_text(json.dumps(total + config.offset))
    return StageResult(f"total {total}", {"total": total})


def gate(context, config: GateConfig) -> StageResult:
    """Refuse a total that is too large, or have an accident."""
    total = json.loads((context.inputs["total"].directory / "total.json").read_text())
    if total > config.limit:
        raise RefusedError(f"the total {total} is above {config.limit}")
    if config.accident == "bug":
        raise ZeroDivisionError("a bug in the stage")
    if config.accident == "disk":
        (context.output / "no" / "such" / "directory").write_text("x")
    (context.output / "report.html").write_text(f"<p>{total}</p>")
    return StageResult("passed")


COUNT = Stage("count", "Counts.", CountConfig, {}, ("jobs.stage",), ("numpy",), count)
ADD = Stage("add", "Adds.", SumConfig, {"numbers": Slot(("count",))}, (), (), add)
GATE = Stage(
    "gate",
    "Judges.",
    GateConfig,
    {"total": Slot(("add",)), "again": Slot(("add", "gate"), is_required=False)},
    (),
    (),
    gate,
    is_published=True,
)
TOYS: Mapping[str, Stage] = {"count": COUNT, "add": ADD, "gate": GATE}

RECIPE = """
schema = 1
name = "toy"
seed = 3

[stages.count]
kind = "count"
num_items = 8

[stages.sum]
kind = "add"
numbers = "count"
power = {exponent = 1}

[stages.gate]
kind = "gate"
total = "sum"
"""


def write_recipe(directory: Path, text: str = RECIPE) -> Path:
    """Write a recipe file."""
    path = directory / "toy.toml"
    path.write_text(text)
    return path
