import dataclasses
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steadyhand.contracts.errors import DatasetError
from steadyhand.data.dataset import Dataset
from steadyhand.data.features import DatasetFeatures
from steadyhand.data.splits import Split, SplitConfig, Statistics, compute_statistics, split

CAMERA = "observation.images.wrist"


@pytest.fixture(scope="module")
def dataset(recorded_once):
    return Dataset.open(recorded_once)


def many_trials(dataset, count, failed=()):
    """The same trials under other names: splitting reads only the manifest."""
    first = dataset.trials()[0]
    trials = [
        dataclasses.replace(
            first,
            episode=i,
            key=dataclasses.replace(first.key, index=i),
            facts={
                **first.facts,
                "cluster": f"c{i % 4}",
                "outcome": "fail" if i in failed else "success",
            },
        )
        for i in range(count)
    ]
    features: DatasetFeatures = dataset.features
    return Dataset(dataset.root, features, trials)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    count=st.integers(8, 60),
    share=st.floats(0, 0.5),
    seed=st.integers(0, 5),
    failed=st.sets(st.integers(0, 20), max_size=3),
)
def test_every_episode_is_in_exactly_one_part(dataset, count, share, seed, failed):
    many = many_trials(dataset, count, failed)
    parts = split(many, SplitConfig(("c3",), share, seed))
    together = [*parts.train, *parts.validation, *parts.held_out, *parts.unused]
    assert sorted(together) == list(range(count))
    clusters = {i: t.cluster for i, t in enumerate(many.trials())}
    assert all(clusters[i] != "c3" for i in (*parts.train, *parts.validation))
    assert all(clusters[i] == "c3" for i in parts.held_out)
    assert set(parts.unused) == {i for i in failed if i < count}
    rest = len(parts.train) + len(parts.validation)
    assert len(parts.validation) == round(share * rest)


def test_the_seed_decides_the_split(dataset):
    many = many_trials(dataset, 40)
    first = split(many, SplitConfig(validation_share=0.25, seed=1))
    assert first == split(many, SplitConfig(validation_share=0.25, seed=1))
    assert first != split(many, SplitConfig(validation_share=0.25, seed=2))
    assert Split.from_json(json.loads(json.dumps(first.to_json()))) == first


def test_failed_episodes_are_used_only_when_asked_for(dataset):
    many = many_trials(dataset, 8, failed={2})
    assert split(many, SplitConfig()).unused == (2,)
    assert split(many, SplitConfig(use_failed=True)).unused == ()


def test_a_cluster_that_does_not_occur_is_named(dataset):
    with pytest.raises(DatasetError, match=r"clusters \['c9'\] do not occur; there are"):
        split(dataset, SplitConfig(held_out_clusters=("c9",)))


def test_an_empty_training_part_is_refused(dataset):
    with pytest.raises(DatasetError, match="no episode is left to train on"):
        split(dataset, SplitConfig(held_out_clusters=("c0", "c1", "c2")))


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(DatasetError, match="validation_share"):
        SplitConfig(validation_share=share)


def test_statistics_are_those_of_the_training_rows_only(dataset):
    found = compute_statistics(dataset, (0, 2)).features
    action = np.concatenate([dataset.rows(i)["action"] for i in (0, 2)]).astype(np.float64)
    assert found["action"].count == len(action) == 14
    assert found["action"].mean == pytest.approx(action.mean(0))
    assert found["action"].std == pytest.approx(action.std(0))
    frames = np.concatenate([dataset.frames(i, CAMERA) for i in (0, 2)]) / 255
    assert found[CAMERA].mean == pytest.approx(frames.mean((0, 1, 2)))
    assert found[CAMERA].std == pytest.approx(frames.std((0, 1, 2)))
    assert "index" not in found


def test_the_hash_binds_statistics_to_their_episodes(dataset):
    first = compute_statistics(dataset, (0, 2))
    assert first.sha256 == compute_statistics(dataset, (2, 0)).sha256
    assert first.sha256 != compute_statistics(dataset, (0, 1)).sha256
    assert Statistics.from_json(json.loads(json.dumps(first.to_json()))).sha256 == first.sha256


def test_changed_statistics_are_refused(dataset):
    value = compute_statistics(dataset, (0,)).to_json()
    value["features"]["action"]["mean"][0] += 1e-6
    with pytest.raises(DatasetError, match="were changed after they were computed"):
        Statistics.from_json(value)


def test_statistics_of_nothing_are_refused(dataset):
    with pytest.raises(DatasetError, match="at least one episode"):
        compute_statistics(dataset, ())
