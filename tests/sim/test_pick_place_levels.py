import colorsys
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steadyhand.contracts.environment import EpisodeKey
from steadyhand.sim.tasks.pick_place_levels import (
    CLUSTERS,
    HELD_OUT_CLUSTER,
    LEVELS,
    TASK_NAMES,
    TASK_VERSION,
    draw_layout,
)

NUMBERS = st.integers(0, 2**40)


def layout_of(task, seed, index):
    return draw_layout(EpisodeKey(task, TASK_VERSION, seed, index))


@given(st.sampled_from(sorted(TASK_NAMES)), NUMBERS, NUMBERS)
def test_the_object_starts_inside_its_cluster_and_held_out_means_held_out(task, seed, index):
    layout = layout_of(task, seed, index)
    assert (layout.cluster == HELD_OUT_CLUSTER) == task.endswith("-held_out")
    x, y = CLUSTERS[layout.cluster]
    assert x <= layout.object_pose[0] <= x + 0.1
    assert y <= layout.object_pose[1] <= y + 0.1


@given(st.sampled_from(sorted(TASK_NAMES)), NUMBERS, NUMBERS)
def test_a_key_decides_the_layout(task, seed, index):
    layout = layout_of(task, seed, index)
    assert layout == layout_of(task, seed, index)
    assert layout.object_pose != layout_of(task, seed, index + 1).object_pose


@given(st.sampled_from(sorted(TASK_NAMES)), NUMBERS)
def test_the_distractor_leaves_room_for_the_open_fingers(task, index):
    layout = layout_of(task, 0, index)
    gap = math.dist(layout.object_pose[:2], layout.distractor_pose[:2])
    assert gap >= 0.1


@given(st.sampled_from(sorted(TASK_NAMES)), NUMBERS)
def test_colours_of_object_distractor_and_target_stay_a_sixth_of_the_circle_apart(task, index):
    layout = layout_of(task, 0, index)
    hues = [
        colorsys.rgb_to_hsv(*colour)[0]
        for colour in (layout.object_colour, layout.distractor_colour, layout.target_colour)
    ]
    for i in range(3):
        difference = abs(hues[i] - hues[i - 1])
        assert min(difference, 1 - difference) > 1 / 6


@given(st.sampled_from(sorted(TASK_NAMES)), NUMBERS)
def test_brightness_and_colours_are_valid(task, index):
    layout = layout_of(task, 0, index)
    for colour in (
        layout.object_colour,
        layout.table_colour,
        layout.bin_colour,
        layout.light_colour,
        layout.ambient_colour,
    ):
        assert all(0 <= channel <= 1 for channel in colour)


def test_plain_episodes_differ_only_in_where_the_object_is():
    first, second = layout_of("pick_place-plain", 0, 0), layout_of("pick_place-plain", 0, 1)
    assert first.object_pose != second.object_pose
    for name in first.__slots__:
        if name not in ("object_pose", "cluster", "target_velocity_m_s"):
            assert getattr(first, name) == getattr(second, name), name


def test_every_training_cluster_is_used():
    used = {layout_of("pick_place-hard", 0, i).cluster for i in range(60)}
    assert used == set(CLUSTERS) - {HELD_OUT_CLUSTER}


@pytest.mark.parametrize("pair", [("hard", "shifted")])
def test_shifted_reaches_beyond_hard_in_light_colour_and_camera(pair):
    hard, shifted = (LEVELS[name] for name in pair)
    assert shifted.light[0] < hard.light[0] < hard.light[1] < shifted.light[1]
    assert shifted.light_tilt_rad[0] >= hard.light_tilt_rad[1]
    assert shifted.camera_shift_m > hard.camera_shift_m
    assert shifted.hue_spread > hard.hue_spread
