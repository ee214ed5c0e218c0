"""What a killed recorder left behind: said in one line each, then dropped.

Only bytes that no committed episode refers to are touched.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from steadyhand.contracts.progress import Progress
from steadyhand.data import layout
from steadyhand.data.commit import write_into
from steadyhand.data.features import DatasetFeatures
from steadyhand.data.journal import read_leftover
from steadyhand.data.metadata import read_total_statistics
from steadyhand.data.trials import Trial, manifest_size
from steadyhand.store.atomic import TEMPORARY_PREFIX


def drop_leftovers(
    root: Path, features: DatasetFeatures, trials: Sequence[Trial], progress: Progress
) -> None:
    """Remove what no committed episode needs, and say so.

    Args:
        root: The dataset, locked by the caller.
        features: Its features.
        trials: Rows of the committed episodes.
        progress: Told what was dropped.
    """
    _drop_journal(root, trials, progress)
    number = trials[-1].number + 1 if trials else 0
    torn = [p for p in layout.episode_paths(number, features) if (root / p).exists()]
    size = manifest_size(root, len(trials))
    manifest = root / layout.TRIALS
    has_torn_line = manifest.exists() and manifest.stat().st_size > size
    for path in torn:
        (root / path).unlink()
    if has_torn_line:
        os.truncate(manifest, size)
    if torn or has_torn_line:
        progress.say(
            f"dropped a commit that never finished (episode {len(trials)} of {root}); "
            f"{len(trials)} committed episodes are intact"
        )
    for directory in _written_directories(root, features, number):
        for temporary in directory.glob(f"{TEMPORARY_PREFIX}*"):
            temporary.unlink()
    _restore_totals(root, features, trials)


def _drop_journal(root: Path, trials: Sequence[Trial], progress: Progress) -> None:
    path = root / layout.JOURNAL
    if not path.exists():
        return
    head, num_steps = read_leftover(path)
    path.unlink()
    if head is None:
        progress.say("dropped an episode that was begun but never recorded a step")
    elif head.key not in {trial.key for trial in trials}:
        progress.say(
            f"dropped unfinished episode {head.key} ({num_steps} steps): recording was cut before "
            f"finish(); {len(trials)} committed episodes are intact"
        )


def _written_directories(root: Path, features: DatasetFeatures, number: int) -> list[Path]:
    paths = [*layout.episode_paths(number, features), layout.INFO, layout.FEATURES]
    return [p for p in {(root / path).parent for path in paths} if p.is_dir()]


def _restore_totals(root: Path, features: DatasetFeatures, trials: Sequence[Trial]) -> None:
    """Rewrite tasks and statistics where the unfinished commit had already added to them."""
    if not trials:
        return
    instructions = list(dict.fromkeys(trial.instruction for trial in trials))
    total = read_total_statistics(root, features, trials)
    contents = {
        layout.TASKS: layout.tasks_table(instructions),
        layout.STATS: layout.json_text(layout.stats_json(features, total)),
    }
    for path, data in contents.items():
        if not (root / path).exists() or (root / path).read_bytes() != data:
            write_into(root, path, data)
