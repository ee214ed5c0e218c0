import numpy as np
import pytest

from steadyhand.contracts.errors import DatasetError
from steadyhand.data.dataset import Dataset
from steadyhand.data.loader import load_arrays

CAMERA = "observation.images.wrist"


def test_rows_of_chosen_episodes_lie_one_after_the_other(dataset_root):
    dataset = Dataset.open(dataset_root)
    arrays = load_arrays(dataset, (3, 1))
    third, first = dataset.episode(3), dataset.episode(1)
    assert arrays.num_rows == third.num_steps + first.num_steps == 16
    for name, column in (("observation.state", arrays.state), ("action", arrays.action)):
        assert np.array_equal(column, np.concatenate([third.columns[name], first.columns[name]]))
    labels = [e.columns["is_label"] for e in (third, first)]
    assert np.array_equal(arrays.is_label, np.concatenate(labels))
    images = np.concatenate([third.images[CAMERA], first.images[CAMERA]])
    assert np.array_equal(arrays.frames[CAMERA], images)
    assert arrays.episode_start.tolist() == [0] * 9 + [9] * 7
    assert arrays.episode_end.tolist() == [9] * 9 + [16] * 7
    assert arrays.episodes == (3, 1)


def test_loading_nothing_is_refused(dataset_root):
    with pytest.raises(DatasetError, match="no episodes to load"):
        load_arrays(Dataset.open(dataset_root), ())
