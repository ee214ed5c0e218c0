"""Small synthetic episodes, and datasets made of them."""

import shutil

import numpy as np
import pytest

from steadyhand.contracts.environment import EpisodeKey
from steadyhand.contracts.episode import Episode
from steadyhand.contracts.specs import ArraySpec
from steadyhand.data.encoding import encode_episode
from steadyhand.data.features import DatasetFeatures
from steadyhand.data.recorder import DatasetRecorder

CAMERA = "observation.images.wrist"


class Notes:
    """Progress that remembers what was said."""

    def __init__(self):
        self.said = []

    def update(self, phase, done, total, unit):
        pass

    def metrics(self, step, values):
        pass

    def say(self, message):
        self.said.append(message)


def build_episode(index, *, num_steps=8, instruction="take the cube", facts=None, **columns):
    """Return an episode of smooth motion; columns given by keyword replace the smooth ones."""
    rng = np.random.default_rng(index)
    steps = np.arange(num_steps)
    phase = rng.uniform(0.5, 2.0, 5)
    state = np.sin(steps[:, None] / 9 * phase[:3]).astype(np.float32)
    action = np.cos(steps[:, None] / 9 * phase[3:]).astype(np.float32)
    blocks = rng.integers(60, 255, (num_steps, 4, 4, 3), np.uint8)
    return Episode(
        key=EpisodeKey("synthetic", 1, 7, index),
        instruction=instruction,
        facts={
            "cluster": f"c{index % 3}",
            "outcome": "success",
            "is_recovery": index % 4 == 0,
            "start": "rest",
            **(facts or {}),
        },
        columns={
            "observation.state": state,
            "action": action,
            "captured_at_s": steps * 0.05,
            "is_label": steps % 5 > 0,
            "reward": np.zeros(num_steps, np.float32),
            **{k: v for k, v in columns.items() if k != "frames"},
        },
        images={CAMERA: columns.get("frames", blocks.repeat(4, axis=1).repeat(4, axis=2))},
    )


FEATURES = DatasetFeatures(
    fps=20,
    robot_type="panda",
    vectors=(
        ArraySpec("observation.state", (3,), "float32", names=("a", "b", "c")),
        ArraySpec("action", (2,), "float32", low=(-2.0, -3.0), high=9.0),
    ),
    cameras=(ArraySpec(CAMERA, (16, 16, 3), "uint8"),),
)


@pytest.fixture
def features():
    return FEATURES


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def make_episode():
    return build_episode


@pytest.fixture
def record(features, notes):
    """Return a function that commits episodes to a directory."""

    def run(root, episodes):
        with DatasetRecorder.open(root, features, notes) as recorder:
            for episode in episodes:
                recorder.commit(encode_episode(episode, features))
        return root

    return run


@pytest.fixture(scope="session")
def recorded_once(tmp_path_factory):
    root = tmp_path_factory.mktemp("recorded") / "dataset"
    texts = ("take the cube", "take the cube", "push the cube", "take the cube")
    with DatasetRecorder.open(root, FEATURES, Notes()) as recorder:
        for index, text in enumerate(texts):
            episode = build_episode(index, num_steps=6 + index, instruction=text)
            recorder.commit(encode_episode(episode, FEATURES))
    return root


@pytest.fixture
def dataset_root(tmp_path, recorded_once):
    """A copy of a dataset of four episodes with two instructions."""
    return shutil.copytree(recorded_once, tmp_path / "dataset")
