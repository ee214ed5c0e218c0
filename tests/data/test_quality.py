"""A table of stories: one thing is wrong with a dataset, and the checklist names exactly that."""

import numpy as np
import pytest

from steadyhand.contracts.errors import RefusedError
from steadyhand.data.dataset import Dataset
from steadyhand.data.quality import QualityConfig, check_quality
from steadyhand.data.quality_measures import (
    count_spikes,
    frame_sharpness,
    longest_frozen_run,
    luminance,
)

CAMERA = "observation.images.wrist"
CONFIG = QualityConfig(min_per_cluster=2, max_frozen_s=0.3)
STEPS = 12
GOOD = tuple(range(6))


def smooth(index, width):
    return np.sin(np.arange(STEPS)[:, None] / 4 * (1 + np.arange(width)) + index / 50)


def frozen(build, index):
    action = smooth(index, 2).astype(np.float32)
    action[1:] = action[1]
    return build(index, num_steps=STEPS, action=action)


def spiky(build, index):
    state = smooth(0, 3).astype(np.float32)
    state[6, 1] += 5
    return build(index, num_steps=STEPS, **{"observation.state": state})


def slow(build, index):
    return build(index, num_steps=STEPS, captured_at_s=np.arange(STEPS) * 0.06)


def stuttering(build, index):
    times = np.arange(STEPS) * 0.05
    times[7:] += 0.2
    return build(index, num_steps=STEPS, captured_at_s=times)


def displaced(build, index):
    state = smooth(0, 3).astype(np.float32)
    state[:4] += 0.4
    return build(index, num_steps=STEPS, **{"observation.state": state})


def anywhere(build, index):
    state = smooth(0, 3).astype(np.float32)
    state[:4] += 0.4
    facts = {"start": "random"}
    return build(index, num_steps=STEPS, facts=facts, **{"observation.state": state})


def textured(index):
    rng = np.random.default_rng(index)
    blocks = rng.integers(60, 255, (STEPS, 4, 4, 3), np.uint8)
    return blocks.repeat(4, axis=1).repeat(4, axis=2)


def dark(build, index):
    return build(index, num_steps=STEPS, frames=textured(index) // 30)


def covered(build, index):
    return build(index, num_steps=STEPS, frames=np.full((STEPS, 16, 16, 3), 90, np.uint8))


def blurred(build, index):
    ramp = np.linspace(60, 200, 16).astype(np.uint8)
    frames = np.broadcast_to(ramp[None, None, :, None], (STEPS, 16, 16, 3)).copy()
    return build(index, num_steps=STEPS, frames=frames)


def failed(build, index):
    return build(index, num_steps=STEPS, facts={"outcome": "fail"})


def elsewhere(build, index):
    return build(index, num_steps=STEPS, facts={"cluster": "c9"})


STORIES = [
    (frozen, {"frozen actions"}),
    (spiky, {"spikes in observation.state"}),
    (slow, {"capture rate"}),
    (stuttering, {"longest gap between captures"}),
    (displaced, {"start pose"}),
    (anywhere, set()),
    (dark, {f"dark frames in {CAMERA}"}),
    (covered, {f"occluded frames in {CAMERA}"}),
    (blurred, {f"blurred frames in {CAMERA}"}),
    (failed, {"share of failed episodes"}),
    (elsewhere, {"episodes per cluster"}),
]


@pytest.fixture
def good(make_episode):
    return [
        make_episode(
            index,
            num_steps=STEPS,
            action=smooth(index, 2).astype(np.float32),
            **{"observation.state": smooth(0, 3).astype(np.float32)},
        )
        for index in GOOD
    ]


def fill(build, index):
    """Complete a bad episode with the smooth columns of the good ones."""

    def complete(index, **changes):
        columns = {
            "action": smooth(index, 2).astype(np.float32),
            "observation.state": smooth(0, 3).astype(np.float32),
        }
        return build(index, **{**columns, **changes})

    return complete


def failing(report):
    return {row.check for row in report.rows if not row.passed}


def test_a_good_dataset_passes_every_check(tmp_path, record, good):
    report = check_quality(Dataset.open(record(tmp_path / "d", good)), CONFIG)
    assert failing(report) == set()
    assert report.has_passed
    report.raise_if_failed()
    assert len(report.rows) == 14


@pytest.mark.parametrize(("spoil", "expected"), STORIES)
def test_one_bad_episode_fails_exactly_its_check(
    tmp_path, record, good, make_episode, spoil, expected
):
    bad = spoil(fill(make_episode, 6), 6)
    report = check_quality(Dataset.open(record(tmp_path / "d", [*good, bad])), CONFIG)
    assert failing(report) == expected


def test_a_dead_sensor_is_named(tmp_path, record, make_episode):
    state = smooth(0, 3).astype(np.float32)
    state[:, 2] = 0.25
    columns = {"observation.state": state, "action": smooth(0, 2).astype(np.float32)}
    root = record(tmp_path / "d", [make_episode(i, num_steps=STEPS, **columns) for i in GOOD])
    report = check_quality(Dataset.open(root), CONFIG)
    assert failing(report) == {"constant values in observation.state"}
    assert {r.measured for r in report.rows if not r.passed} == {"observation.state[2]"}
    allowed = QualityConfig(min_per_cluster=2, allowed_constant=("observation.state[2]",))
    assert check_quality(Dataset.open(root), allowed).has_passed


def test_missing_recoveries_and_clusters_are_refused_with_advice(tmp_path, record, good):
    plain = [e for e in good if not e.facts["is_recovery"]]
    dataset = Dataset.open(record(tmp_path / "d", plain))
    config = QualityConfig(min_per_cluster=1, clusters=("c0", "c1", "c2", "c3"))
    report = check_quality(dataset, config)
    assert failing(report) == {"episodes per cluster", "share of recovery episodes"}
    with pytest.raises(RefusedError, match="2 of 14 quality checks") as caught:
        report.raise_if_failed()
    assert "0 in 'c3' (4 clusters), required >= 1; record more" in str(caught.value)


def test_an_empty_dataset_does_not_pass(tmp_path, record):
    report = check_quality(Dataset.open(record(tmp_path / "d", [])), CONFIG)
    assert "episodes per cluster" in failing(report)


def test_frozen_runs_are_counted_in_rows():
    values = np.array([[0.0], [0.0], [1.0], [1.0], [1.0], [0.0]])
    assert longest_frozen_run(values) == 2
    assert longest_frozen_run(values[:1]) == 0


def test_a_step_is_no_spike_and_a_spike_is():
    step = np.array([[0.0]] * 5 + [[1.0]] * 5)
    assert count_spikes(step, np.array([0.25])) == 0
    step[7] = 0.2
    assert count_spikes(step, np.array([0.25])) == 1


def test_blur_lowers_the_sharpness():
    sharp = luminance(textured(0))
    soft = sum(np.roll(sharp, (dy, dx), (1, 2)) for dy in range(-2, 3) for dx in range(-2, 3)) / 25
    assert (frame_sharpness(soft) < 0.1 * frame_sharpness(sharp)).all()
