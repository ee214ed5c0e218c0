"""Stage ``check``: the recording checklist, the split, and the statistics of the training part."""

from dataclasses import asdict, dataclass, field, replace

from steadyhand.contracts.errors import UsageError
from steadyhand.data.dataset import Dataset
from steadyhand.data.quality import QualityConfig, QualityReport, check_quality
from steadyhand.data.splits import SplitConfig, compute_statistics, split
from steadyhand.jobs.stage import Slot, Stage, StageContext, StageResult
from steadyhand.store.atomic import write_json

QUALITY, SPLIT, STATISTICS = "quality.json", "split.json", "statistics.json"


@dataclass(frozen=True, slots=True)
class CheckConfig:
    """What a dataset must fulfil, and how it is divided.

    Args:
        quality: Limits of the checklist.
        split: How episodes are divided; its seed comes from the recipe.
    """

    quality: QualityConfig = field(default_factory=QualityConfig)
    split: SplitConfig = field(default_factory=SplitConfig)

    def __post_init__(self) -> None:
        if self.split.seed != 0:
            raise UsageError("split.seed follows from the recipe's 'seed'; remove it here")


def check(context: StageContext, config: CheckConfig) -> StageResult:
    """Go through the checklist, stop if it fails; then split and compute statistics."""
    dataset = Dataset.open(context.inputs["dataset"].directory)
    report = check_quality(dataset, config.quality, context.progress)
    for line in checklist(report):
        context.progress.say(line)
    report.raise_if_failed()
    parts = split(dataset, replace(config.split, seed=context.seed))
    statistics = compute_statistics(dataset, parts.train)
    write_json(context.output / QUALITY, {"rows": [asdict(row) for row in report.rows]})
    write_json(context.output / SPLIT, parts.to_json())
    write_json(context.output / STATISTICS, statistics.to_json())
    facts = {
        "num_checks": len(report.rows),
        "train": len(parts.train),
        "validation": len(parts.validation),
        "held_out": len(parts.held_out),
        "unused": len(parts.unused),
    }
    return StageResult(
        f"{len(report.rows)} checks passed; {len(parts.train)} episodes train, "
        f"{len(parts.validation)} validate, {len(parts.held_out)} held out",
        facts,
    )


def checklist(report: QualityReport) -> list[str]:
    """Return the recording checklist as lines for people."""
    width = max(len(row.check) for row in report.rows)
    return [
        f"  {'pass' if row.passed else 'FAIL'}  {row.check:<{width}}  {row.measured} "
        f"(required {row.limit})" + ("" if row.passed else f": {row.advice}")
        for row in report.rows
    ]


STAGE = Stage(
    kind="check",
    summary="Checks a dataset, splits it and computes its statistics.",
    config=CheckConfig,
    slots={"dataset": Slot(("collect",))},
    packages=("data", "store"),
    libraries=("av", "numpy", "pyarrow"),
    function=check,
)
