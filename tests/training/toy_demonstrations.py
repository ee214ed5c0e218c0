"""A toy world: a bright spot in the picture says where to go, and when it is close, to grip."""

import numpy as np

from steadyhand.contracts.seeds import stream
from steadyhand.data.feature_statistics import FeatureStatistics
from steadyhand.data.loader import TrainingArrays
from steadyhand.data.splits import Statistics
from steadyhand.models.policies.chunking import ChunkingConfig

SIZE = 16


def make_arrays(seed: int = 0, num_episodes: int = 6, length: int = 20) -> TrainingArrays:
    rng = stream("toy", seed)
    num_rows = num_episodes * length
    goal = np.repeat(rng.uniform(-1, 1, (num_episodes, 2)), length, axis=0)
    state = rng.standard_normal((num_rows, 12)).astype(np.float32)
    action = np.zeros((num_rows, 5), np.float32)
    action[:, :4] = state[:, 8:12]
    action[:, :2] += 0.1 * goal
    action[:, 4] = goal[:, 0] > 0
    column, row = (((goal + 1) / 2 * (SIZE - 5)).round().astype(int) + 1).T
    frames = {}
    for camera in ("observation.images.wrist", "observation.images.scene"):
        frames[camera] = rng.integers(0, 20, (num_rows, SIZE, SIZE, 3), np.uint8)
        for i in range(num_rows):
            frames[camera][i, row[i] : row[i] + 3, column[i] : column[i] + 3] = 255
    starts = np.repeat(np.arange(num_episodes) * length, length)
    return TrainingArrays(
        frames=frames,
        state=state,
        action=action,
        is_label=np.ones(num_rows, np.bool_),
        episode_start=starts,
        episode_end=starts + length,
        episodes=tuple(range(num_episodes)),
    )


def make_statistics(arrays: TrainingArrays) -> Statistics:
    values = arrays.state.astype(np.float64)
    of_state = FeatureStatistics(
        low=values.min(0),
        high=values.max(0),
        mean=values.mean(0),
        std=values.std(0),
        count=len(values),
        quantiles=np.quantile(values, (0.01, 0.1, 0.5, 0.9, 0.99), axis=0),
    )
    return Statistics({"observation.state": of_state}, "toy", "toy")


POLICY = ChunkingConfig(image_size=SIZE, channels=(4, 4, 4, 4), chunk_length=4)
