import concurrent.futures
import dataclasses
import multiprocessing

import numpy as np
import pytest

from steadyhand.contracts.errors import DatasetError, SpecError
from steadyhand.contracts.specs import ArraySpec
from steadyhand.data.encoding import check_agreement, encode_episode
from steadyhand.data.features import DatasetFeatures, features_from_specs
from steadyhand.data.video import encode_video

CAMERA = "observation.images.wrist"


def test_encoding_is_the_same_every_time(make_episode, features):
    first, second = (encode_episode(make_episode(3), features) for _ in range(2))
    assert first.videos == second.videos
    for name, rows in first.columns.items():
        assert np.array_equal(rows, second.columns[name])


def test_a_value_that_is_not_finite_names_episode_column_and_row(make_episode, features):
    action = np.zeros((8, 2), np.float32)
    action[5, 1] = np.nan
    with pytest.raises(SpecError, match=r"action of episode synthetic@1/7/2 .*\[5, 1\]"):
        encode_episode(make_episode(2, action=action), features)


def test_a_value_out_of_its_range_is_refused(make_episode, features):
    with pytest.raises(SpecError, match="below its range"):
        encode_episode(make_episode(2, action=np.full((8, 2), -4, np.float32)), features)


def test_missing_and_surplus_columns_are_named(make_episode, features):
    episode = make_episode(1)
    columns = {k: v for k, v in episode.columns.items() if k != "reward"} | {
        "speed": np.zeros(8, np.float32)
    }
    with pytest.raises(SpecError, match=r"missing \['reward'\], unexpected \['speed'\]"):
        encode_episode(dataclasses.replace(episode, columns=columns), features)


def test_capture_times_must_increase(make_episode, features):
    times = np.array([0.0, 0.05, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5])
    with pytest.raises(DatasetError, match="does not increase at row 2"):
        encode_episode(make_episode(1, captured_at_s=times), features)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"outcome": "maybe"}, "'outcome' must be one of"),
        ({"cluster": 3}, "'cluster'"),
        ({"is_recovery": 1}, "'is_recovery'"),
        ({"gain": float("nan")}, "'gain' must be a finite"),
        ({"gain": np.float32(1)}, "'gain' must be a finite"),
    ],
)
def test_facts_that_say_nothing_are_refused(make_episode, features, facts, message):
    with pytest.raises(DatasetError, match=message):
        encode_episode(make_episode(1, facts=facts), features)


def test_rows_and_frames_that_disagree_are_refused(make_episode, features):
    encoded = encode_episode(make_episode(1), features)
    short = encode_video(make_episode(1).images[CAMERA][:-1], 20)
    with pytest.raises(DatasetError, match=r"rows and frames disagree.*'action': 8.*wrist': 7"):
        check_agreement(dataclasses.replace(encoded, videos={CAMERA: short}), features)


def test_a_missing_camera_is_refused(make_episode, features):
    encoded = encode_episode(make_episode(1), features)
    with pytest.raises(DatasetError, match="rows and frames disagree"):
        check_agreement(dataclasses.replace(encoded, videos={}), features)


def test_features_come_from_the_specs_of_an_environment(features):
    specs = {spec.name: spec for spec in (features.state, *features.cameras)}
    action = ArraySpec("anything", (2,), "float32", low=(-2.0, -3.0), high=9.0)
    assert features_from_specs(specs, action, 0.05, "panda") == features


def test_a_rate_that_is_no_whole_number_is_refused(features):
    with pytest.raises(DatasetError, match="no whole number of rows per second"):
        features_from_specs({"observation.state": features.state}, features.action, 0.03, "panda")


def test_features_survive_json(features):
    assert DatasetFeatures.from_json(features.to_json()) == features


def test_a_reserved_name_is_refused(features):
    with pytest.raises(DatasetError, match=r"\['index'\] are taken"):
        DatasetFeatures(20, "x", (*features.vectors, ArraySpec("index", (1,), "int64")), ())


def test_a_worker_process_encodes_to_the_same_bytes(make_episode, features):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        there = pool.submit(encode_episode, make_episode(3), features).result()
    here = encode_episode(make_episode(3), features)
    assert there.videos == here.videos
    for name, rows in here.columns.items():
        assert np.array_equal(there.columns[name], rows)
