import math

import numpy as np
import pytest
import torch

from steadyhand.contracts.errors import DataError
from steadyhand.models.policies.chunking import ChunkingConfig, build_network
from steadyhand.training.chunk_targets import compute_chunk_targets, compute_normalisation


def make_rows(num_rows, *, episode_length, unlabelled=()):
    state = np.zeros((num_rows, 12), np.float32)
    state[:, 8] = np.arange(num_rows)  # x of the pose
    action = np.zeros((num_rows, 5), np.float32)
    action[:, 0] = np.arange(num_rows) + 0.5
    action[:, 4] = np.arange(num_rows) % 2
    is_label = np.ones(num_rows, np.bool_)
    is_label[list(unlabelled)] = False
    end = (np.arange(num_rows) // episode_length + 1) * episode_length
    return state, action, is_label, end


def test_past_the_end_of_an_episode_its_last_action_is_repeated():
    """Ending the chunk there left the release so little weight that no policy ever let go."""
    targets = compute_chunk_targets(*make_rows(8, episode_length=4), chunk_length=3)
    assert targets.rows.tolist() == list(range(8))
    assert targets.is_valid.all()
    absolute = targets.motion[:, :, 0] + np.arange(8)[:, None]
    assert absolute[:4].tolist() == [[0.5, 1.5, 2.5], [1.5, 2.5, 3.5], [2.5, 3.5, 3.5], [3.5] * 3]
    assert targets.grip[3].tolist() == [1.0, 1.0, 1.0]


def test_a_chunk_ends_before_a_push_and_never_begins_in_one():
    rows = make_rows(8, episode_length=8, unlabelled=(3, 4))
    targets = compute_chunk_targets(*rows, chunk_length=4)
    assert targets.rows.tolist() == [0, 1, 2, 5, 6, 7]
    assert targets.is_valid.sum(axis=1).tolist() == [3, 2, 1, 4, 4, 4]
    assert targets.is_valid[0].tolist() == [True, True, True, False]


def test_motion_is_relative_to_the_pose_of_the_first_row():
    targets = compute_chunk_targets(*make_rows(8, episode_length=8), chunk_length=3)
    assert targets.motion[2, :, 0].tolist() == [0.5, 1.5, 2.5]
    assert targets.grip[1].tolist() == [1.0, 0.0, 1.0]


def test_yaw_takes_the_short_way_round():
    state, action, is_label, end = make_rows(2, episode_length=2)
    state[:, 11], action[:, 3] = 3.0, -3.0
    targets = compute_chunk_targets(state, action, is_label, end, 1)
    assert targets.motion[0, 0, 3] == pytest.approx(2 * math.pi - 6, abs=1e-6)


def test_constants_are_the_moments_of_valid_actions_only():
    rng = np.random.default_rng(0)
    state, action, is_label, end = make_rows(40, episode_length=10, unlabelled=(5,))
    action[:, :4] += rng.standard_normal((40, 4)).astype(np.float32)
    targets = compute_chunk_targets(state, action, is_label, end, 3)
    constants = compute_normalisation(targets, state.mean(0), state.std(0))
    valid = targets.motion[targets.is_valid].astype(np.float64)
    assert not targets.is_valid.all()
    for i in range(3):
        assert constants.motion_mean[i] == pytest.approx(valid.mean(0))
        assert constants.motion_std[i] == pytest.approx(valid.std(0))
    assert min(constants.state_std) == pytest.approx(1e-3)  # constant elements of the state


def test_the_network_turns_perfect_predictions_back_into_the_recorded_actions():
    rng = np.random.default_rng(1)
    state, action, is_label, end = make_rows(30, episode_length=30)
    state[:, 8:12] = rng.uniform(-1, 1, (30, 4))
    action[:, :4] = rng.uniform(-1, 1, (30, 4))
    targets = compute_chunk_targets(state, action, is_label, end, 4)
    constants = compute_normalisation(targets, state.mean(0), state.std(0))
    config = ChunkingConfig(image_size=16, channels=(4, 4, 4, 4), chunk_length=4)
    head = build_network(config, constants).head
    motion = (torch.from_numpy(targets.motion) - head.motion_mean) / head.motion_std
    closing = torch.where(torch.from_numpy(targets.grip) > 0, 9.0, -9.0)
    head.decoder = Told(torch.cat((motion, closing.unsqueeze(2)), dim=2))
    actions, _ = head(torch.zeros(30, 1), torch.from_numpy(state), torch.zeros(30, 1))
    for row in range(26):
        np.testing.assert_allclose(actions[row].numpy(), action[row : row + 4], atol=1e-5)


class Told(torch.nn.Module):
    """A decoder that says what it was told to."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, features, state):
        return self.answer


def test_demonstrations_without_any_label_are_refused():
    rows = make_rows(4, episode_length=4, unlabelled=(0, 1, 2, 3))
    with pytest.raises(DataError, match="no row may be imitated"):
        compute_chunk_targets(*rows, chunk_length=2)
