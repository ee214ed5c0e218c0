"""Rows and frames can never disagree; names order and print."""

import numpy as np
import pytest

from steadyhand.contracts.environment import EpisodeKey, Step
from steadyhand.contracts.episode import Episode
from steadyhand.contracts.errors import SpecError

KEY = EpisodeKey("pick_place-hard", 2, 7, 11)


def make(num_rows, num_frames):
    return Episode(
        KEY,
        "pick the cube",
        {"outcome": "success"},
        {"action": np.zeros((num_rows, 5), np.float32), "is_label": np.ones(num_rows, bool)},
        {"observation.images.wrist": np.zeros((num_frames, 4, 4, 3), np.uint8)},
    )


def test_an_episode_has_as_many_frames_as_rows():
    assert make(3, 3).num_steps == 3
    with pytest.raises(SpecError, match=r"pick_place-hard@2/7/11: rows and frames disagree.*wrist"):
        make(3, 2)


def test_an_episode_has_at_least_one_row():
    with pytest.raises(SpecError, match="empty"):
        make(0, 0)
    with pytest.raises(SpecError, match="empty"):
        Episode(KEY, "", {}, {}, {})


def test_a_key_prints_as_a_path_and_sorts_by_task_version_seed_and_index():
    assert str(KEY) == "pick_place-hard@2/7/11"
    keys = [EpisodeKey("a", 1, 0, 10), EpisodeKey("a", 1, 0, 9), EpisodeKey("a", 1, 1, 0)]
    assert sorted(keys) == [keys[1], keys[0], keys[2]]


@pytest.mark.parametrize(
    ("terminated", "truncated", "is_last"),
    [(False, False, False), (True, False, True), (False, True, True)],
)
def test_an_episode_ends_by_its_rules_or_by_its_time(terminated, truncated, is_last):
    assert Step(0.0, terminated, truncated, is_success=False).is_last == is_last
