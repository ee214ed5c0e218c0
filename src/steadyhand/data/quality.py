"""The recording checklist: is this dataset worth training on? Rows of data, no printing.

Every limit is in :class:`QualityConfig`; each row says what was measured and what to do.
Source of the shares and counts: NXP, "Bringing Robotics AI to Embedded Platforms" (2026): at least
10 episodes per starting cluster, about 20 % recovery episodes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.errors import RefusedError
from steadyhand.contracts.progress import Progress, Silent
from steadyhand.data.dataset import Dataset
from steadyhand.data.features import ACTION, CAPTURED_AT, STATE
from steadyhand.data.quality_measures import (
    count_spikes,
    frame_sharpness,
    longest_frozen_run,
    luminance,
)
from steadyhand.data.trials import Trial

Table = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class QualityConfig:
    """The limits of the checklist.

    Args:
        max_frozen_s: Longest time [s] the action may stay exactly the same.
        max_spikes: Samples that jump away from their neighbours and back.
        spike_range: What counts as such a jump, as a share of the value's range.
        min_std: Smallest spread of a state or action value over the dataset.
        allowed_constant: Names (``observation.state[3]``) that may be constant.
        max_rate_error: Largest relative error of an episode's capture rate.
        max_gap_periods: Longest time between two captures, in periods.
        min_luminance: Mean brightness (0..255) below which a frame is dark.
        min_contrast: Standard deviation of brightness below which a frame shows nothing.
        min_sharpness: Share of a camera's median sharpness below which a frame is blurred.
        max_bad_frames: Share of the frames of a camera that may be dark, blurred or occluded.
        max_start_spread: Largest deviation of a first state value from the median start [rad, m];
            episodes with the fact ``start = "random"`` are excepted.
        min_per_cluster: Episodes each cluster needs.
        clusters: Clusters that must occur; empty means those that do.
        min_recovery_share: Smallest share of recovery episodes.
        max_failed_share: Largest share of failed episodes.
    """

    max_frozen_s: float = 2.0
    max_spikes: int = 0
    spike_range: float = 0.25
    min_std: float = 1e-5
    allowed_constant: tuple[str, ...] = ()
    max_rate_error: float = 0.05
    max_gap_periods: float = 2.0
    min_luminance: float = 16.0
    min_contrast: float = 4.0
    min_sharpness: float = 0.1
    max_bad_frames: float = 0.02
    max_start_spread: float = 0.1
    min_per_cluster: int = 10
    clusters: tuple[str, ...] = ()
    min_recovery_share: float = 0.1
    max_failed_share: float = 0.1


@dataclass(frozen=True, slots=True)
class QualityRow:
    """One line of the checklist.

    Args:
        check: What is checked.
        passed: Whether it holds.
        measured: What was measured, and where the worst is.
        limit: What is required.
        advice: What to do when it does not hold.
    """

    check: str
    passed: bool
    measured: str
    limit: str
    advice: str


@dataclass(frozen=True, slots=True)
class QualityReport:
    """The whole checklist.

    Args:
        rows: Its lines.
    """

    rows: tuple[QualityRow, ...]

    @property
    def has_passed(self) -> bool:
        """Whether every line holds."""
        return all(row.passed for row in self.rows)

    def raise_if_failed(self) -> None:
        """Stop here unless every line holds.

        Raises:
            RefusedError: Naming each failed line with what to do.
        """
        failed = [row for row in self.rows if not row.passed]
        if failed:
            lines = [f"{r.check}: {r.measured}, required {r.limit}; {r.advice}" for r in failed]
            raise RefusedError(
                f"the dataset fails {len(failed)} of {len(self.rows)} quality checks:\n  "
                + "\n  ".join(lines)
            )


@dataclass(frozen=True, slots=True)
class _Rows:
    """The columns of all episodes, by episode."""

    state: list[Table]
    action: list[Table]
    times: list[Table]


def check_quality(
    dataset: Dataset, config: QualityConfig, progress: Progress | None = None
) -> QualityReport:
    """Go through the recording checklist.

    Args:
        dataset: The dataset.
        config: Limits.
        progress: Told how many episodes were looked at.

    Returns:
        The checklist with what was measured; an empty dataset fails its coverage.
    """
    reporter = progress or Silent()
    rows = _Rows([], [], [])
    images: dict[str, list[Table]] = {name: [] for name in dataset.features.camera_names}
    for index in range(dataset.num_episodes):
        columns = dataset.rows(index)
        rows.state.append(columns[STATE].astype(np.float64))
        rows.action.append(columns[ACTION].astype(np.float64))
        rows.times.append(columns[CAPTURED_AT])
        for name, measured in images.items():
            measured.append(_measure_frames(dataset, index, name))
        reporter.update("check quality", index + 1, dataset.num_episodes, "episodes")
    trials = dataset.trials()
    found = [_coverage(trials, config), _recovery(trials, config), _failures(trials, config)]
    if trials:
        found += _check_motion(rows, dataset.features.fps, config)
        found += _check_rate(rows, dataset.features.fps, config)
        found.append(_check_start(rows, trials, config))
        for name, measured in images.items():
            found += _check_camera(name, np.concatenate(measured), config)
    return QualityReport(tuple(found))


def _measure_frames(dataset: Dataset, index: int, camera: str) -> Table:
    """Return brightness, contrast and sharpness of each frame, (T, 3)."""
    grey = luminance(dataset.frames(index, camera))
    return np.stack([grey.mean((1, 2)), grey.std((1, 2)), frame_sharpness(grey)], axis=1)


def _check_motion(rows: _Rows, fps: int, config: QualityConfig) -> list[QualityRow]:
    runs = [longest_frozen_run(action) / fps for action in rows.action]
    worst = int(np.argmax(runs))
    result = [
        QualityRow(
            "frozen actions",
            max(runs) <= config.max_frozen_s,
            f"{max(runs):.2f} s (episode {worst})",
            f"<= {config.max_frozen_s:g} s",
            "the teleoperation or expert stopped; record these episodes again",
        )
    ]
    for name, tables in ((STATE, rows.state), (ACTION, rows.action)):
        joined = np.concatenate(tables)
        spread = joined.max(0) - joined.min(0)
        spikes = [count_spikes(table, spread * config.spike_range) for table in tables]
        result.append(
            QualityRow(
                f"spikes in {name}",
                sum(spikes) <= config.max_spikes,
                f"{sum(spikes)} samples" + _in_episodes(spikes),
                f"<= {config.max_spikes} samples",
                "a sensor or a link dropped out; check cables, record these episodes again",
            )
        )
        still = [f"{name}[{i}]" for i in np.flatnonzero(joined.std(0) < config.min_std)]
        still = [s for s in still if s not in config.allowed_constant]
        result.append(
            QualityRow(
                f"constant values in {name}",
                not still,
                ", ".join(still) or "none",
                f"spread >= {config.min_std:g}",
                "a sensor is dead or a value is not needed; fix it, or allow it by name",
            )
        )
    return result


def _check_rate(rows: _Rows, fps: int, config: QualityConfig) -> list[QualityRow]:
    gaps = [np.diff(times) * fps for times in rows.times]
    errors = [abs(float(np.median(g)) - 1) if len(g) else 0.0 for g in gaps]
    longest = [float(g.max()) if len(g) else 0.0 for g in gaps]
    advice = "the recorder did not keep its rate; free the machine or record at a lower rate"
    return [
        QualityRow(
            "capture rate",
            max(errors) <= config.max_rate_error,
            f"{max(errors):.1%} off {fps} Hz (episode {int(np.argmax(errors))})",
            f"<= {config.max_rate_error:.1%}",
            advice,
        ),
        QualityRow(
            "longest gap between captures",
            max(longest) <= config.max_gap_periods,
            f"{max(longest):.2f} periods (episode {int(np.argmax(longest))})",
            f"<= {config.max_gap_periods:g} periods",
            advice,
        ),
    ]


def _check_start(rows: _Rows, trials: Sequence[Trial], config: QualityConfig) -> QualityRow:
    fixed = [t.episode for t in trials if t.facts.get("start") != "random"]
    measured, is_good = "no episode starts at rest", True
    if fixed:
        starts = np.stack([rows.state[episode][0] for episode in fixed])
        deviation = np.abs(starts - np.median(starts, axis=0)).max(axis=1)
        worst = int(np.argmax(deviation))
        measured = f"{deviation[worst]:.3f} (episode {fixed[worst]})"
        is_good = bool(deviation[worst] <= config.max_start_spread)
    return QualityRow(
        "start pose",
        is_good,
        measured,
        f"<= {config.max_start_spread:g} rad or m from the median",
        "move the arm to its rest pose before recording, or state start = 'random'",
    )


def _check_camera(name: str, frames: Table, config: QualityConfig) -> list[QualityRow]:
    dark = frames[:, 0] < config.min_luminance
    empty = frames[:, 1] < config.min_contrast
    blurred = frames[:, 2] < config.min_sharpness * np.median(frames[:, 2])
    advice = {
        "dark": "add light or raise the exposure",
        "occluded": "something covers the lens or the camera shows nothing; fix its mount",
        "blurred": "focus the lens, clean it, or shorten the exposure",
    }
    kinds = {"dark": dark, "occluded": empty & ~dark, "blurred": blurred & ~empty & ~dark}
    return [
        QualityRow(
            f"{kind} frames in {name}",
            bool(bad.mean() <= config.max_bad_frames),
            f"{bad.mean():.2%}",
            f"<= {config.max_bad_frames:.2%}",
            advice[kind],
        )
        for kind, bad in kinds.items()
    ]


def _coverage(trials: Sequence[Trial], config: QualityConfig) -> QualityRow:
    counts = Counter(trial.cluster for trial in trials)
    wanted = config.clusters or tuple(sorted(counts))
    fewest = min(wanted, key=lambda c: counts[c], default="none")
    smallest = counts[fewest]
    return QualityRow(
        "episodes per cluster",
        smallest >= config.min_per_cluster,
        f"{smallest} in {fewest!r} ({len(wanted)} clusters)",
        f">= {config.min_per_cluster}",
        "record more episodes that start there",
    )


def _recovery(trials: Sequence[Trial], config: QualityConfig) -> QualityRow:
    share = sum(trial.is_recovery for trial in trials) / max(len(trials), 1)
    return QualityRow(
        "share of recovery episodes",
        share >= config.min_recovery_share,
        f"{share:.1%}",
        f">= {config.min_recovery_share:.1%}",
        "record episodes that start from a mistake and correct it",
    )


def _failures(trials: Sequence[Trial], config: QualityConfig) -> QualityRow:
    share = sum(trial.outcome == "fail" for trial in trials) / max(len(trials), 1)
    return QualityRow(
        "share of failed episodes",
        share <= config.max_failed_share,
        f"{share:.1%}",
        f"<= {config.max_failed_share:.1%}",
        "failed demonstrations are not trained on; find out why they fail, record them again",
    )


def _in_episodes(counts: Sequence[int]) -> str:
    where = [i for i, count in enumerate(counts) if count]
    return f" (episodes {where[:5]})" if where else ""
