import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steadyhand.contracts.errors import DataError, SpecError, UnknownNameError, UsageError
from steadyhand.contracts.policy import state_bytes
from steadyhand.contracts.seeds import stream
from steadyhand.models.normalisation import Normalisation
from steadyhand.models.policies.chunking import HEADS, ChunkingConfig, ChunkingPolicy, build_network
from steadyhand.models.policies.chunking_network import SpatialSoftmax, latch_grip, scale


def make_policy(seed: int = 0, **settings) -> ChunkingPolicy:
    config = ChunkingConfig(image_size=16, channels=(4, 4, 4, 4), **settings)
    normalisation = Normalisation.identity(config.state_size, config.chunk_length)
    torch.manual_seed(seed)
    return ChunkingPolicy(config, normalisation, build_network(config, normalisation))


def make_observation(policy: ChunkingPolicy, seed: int = 0) -> dict[str, np.ndarray]:
    rng = stream("test", seed)
    drawn = {}
    for key, spec in policy.observation_specs.items():
        is_image = spec.dtype == "uint8"
        drawn[key] = (
            rng.integers(0, 256, spec.shape, np.uint8)
            if is_image
            else rng.standard_normal(spec.shape, np.float32)
        )
    return drawn


def latch_one_by_one(closing: list[float], grip: float) -> list[float]:
    latched = []
    for probability in closing:
        if np.float32(probability) > np.float32(0.6):
            grip = 1.0
        elif np.float32(probability) < np.float32(0.4):
            grip = 0.0
        latched.append(grip)
    return latched


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30),
    st.sampled_from([0.0, 1.0]),
)
def test_the_latch_without_a_loop_equals_the_latch_with_one(closing, grip):
    latched = latch_grip(torch.tensor([closing]), torch.tensor([[grip]]))
    assert latched.tolist() == [latch_one_by_one(closing, grip)]


def test_the_latch_keeps_its_last_command_between_the_thresholds():
    closing = torch.tensor([[0.5, 0.7, 0.5, 0.41, 0.39, 0.59]])
    assert latch_grip(closing, torch.zeros(1, 1)).tolist() == [[0, 1, 1, 1, 0, 0]]
    assert latch_grip(closing, torch.ones(1, 1)).tolist() == [[1, 1, 1, 1, 0, 0]]


def test_spatial_softmax_points_at_a_bright_spot():
    maps = torch.zeros(1, 2, 5, 5)
    maps[0, 0, 0, 4] = 1.0  # upper right
    maps[0, 1, 4, 2] = 1.0  # lower middle
    softmax = SpatialSoftmax(5, 5)
    softmax.log_sharpness.data.fill_(3.0)
    expected = torch.tensor([[1.0, -1.0, 0.0, 1.0]])
    torch.testing.assert_close(softmax(maps), expected, atol=1e-4, rtol=0)


def test_where_spatial_softmax_looks_depends_on_contrast_not_on_scale_or_offset():
    maps = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    softmax = SpatialSoftmax(4, 4)
    torch.testing.assert_close(softmax(5 * maps - 2), softmax(maps), atol=1e-4, rtol=0)
    assert softmax(torch.zeros(1, 3, 4, 4)).abs().max() < 1e-6  # nothing to see: the middle


def test_pictures_are_scaled_to_plus_minus_one():
    image = torch.zeros(1, 4, 6, 3, dtype=torch.uint8)
    image[0, 1, 2, 0] = 255
    scaled = scale(image)
    assert scaled.shape == (1, 3, 4, 6)
    assert scaled[0, 0, 1, 2] == 1
    assert scaled[0, 1].unique().tolist() == [-1]


@pytest.mark.parametrize("head", sorted(HEADS))
def test_actions_are_absolute_and_move_with_the_pose_at_the_start_of_the_chunk(head):
    """The constants below leave the network blind to the pose, so only the last step adds it."""
    config = ChunkingConfig(image_size=16, channels=(4, 4, 4, 4), head=head)
    identity = Normalisation.identity(config.state_size, config.chunk_length)
    blind = Normalisation(
        state_mean=identity.state_mean,
        state_std=(*identity.state_std[:8], 1e12, 1e12, 1e12, 1e12),
        motion_mean=identity.motion_mean,
        motion_std=identity.motion_std,
    )
    torch.manual_seed(0)
    network = build_network(config, blind)
    features, state = torch.randn(1, network.vision.num_features), torch.randn(1, 12)
    offset = torch.tensor([0.1, -0.2, 0.3, 0.4])
    moved = state.clone()
    moved[:, 8:12] += offset
    grip = torch.zeros(1, 1)
    first, _ = network.head(features, state, grip)
    second, _ = network.head(features, moved, grip)
    shift = (second - first)[0, :, :4]
    torch.testing.assert_close(shift, offset.expand_as(shift), atol=1e-5, rtol=1e-5)
    assert set(first[0, :, 4].tolist()) <= {0.0, 1.0}


def test_the_head_undoes_the_normalisation_of_motion():
    config = ChunkingConfig(image_size=16, channels=(4, 4, 4, 4), chunk_length=2)
    constants = Normalisation(
        state_mean=(0.0,) * 12,
        state_std=(1.0,) * 12,
        motion_mean=((1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0)),
        motion_std=((0.1,) * 4, (0.2,) * 4),
    )
    network = build_network(config, constants)
    features, state = torch.randn(1, network.vision.num_features), torch.zeros(1, 12)
    decoded = network.head.decode(features, state)[0, :, :4]
    actions = network.head(features, state, torch.zeros(1, 1))[0][0, :, :4]
    expected = decoded * torch.tensor([[0.1], [0.2]]) + torch.tensor(constants.motion_mean)
    torch.testing.assert_close(actions, expected)


def test_act_is_pure_and_its_state_has_four_bytes():
    policy = make_policy()
    observation, state = make_observation(policy), policy.initial_state()
    before = {k: v.copy() for k, v in (observation | state).items()}
    first, next_state = policy.act(observation, state, stream("a"))
    second, again = policy.act(observation, state, stream("b"))
    assert np.array_equal(first.actions, second.actions)
    assert np.array_equal(next_state["state.grip"], again["state.grip"])
    assert all(np.array_equal(before[k], v) for k, v in (observation | state).items())
    assert first.actions.shape == (10, 5)
    assert first.actions.dtype == np.float32
    assert first.horizon_s == pytest.approx(0.5)
    assert state_bytes(policy) == 4
    assert sum(v.nbytes for v in next_state.values()) == 4


def test_the_state_is_the_grip_of_the_action_for_the_time_of_the_observation():
    policy = make_policy()
    observation = make_observation(policy)
    with torch.no_grad():
        policy.network.head.decoder.layers[-1].weight.zero_()
        policy.network.head.decoder.layers[-1].bias.zero_()  # every probability is 0.5: keep
    for grip in (0.0, 1.0):
        state = {"state.grip": np.full(1, grip, np.float32)}
        chunk, next_state = policy.act(observation, state, stream("x"))
        assert chunk.actions[:, 4].tolist() == [grip] * 10
        assert next_state["state.grip"].tolist() == [grip]


def test_a_surplus_observation_is_ignored_and_a_missing_one_is_named():
    policy = make_policy()
    observation = make_observation(policy)
    policy.act(observation | {"other": np.zeros(3)}, policy.initial_state(), stream("x"))
    del observation["observation.images.wrist"]
    with pytest.raises(SpecError, match=r"missing \['observation.images.wrist'\]"):
        policy.act(observation, policy.initial_state(), stream("x"))


def test_the_default_network_has_about_a_sixth_of_a_million_weights():
    config = ChunkingConfig()
    network = build_network(config, Normalisation.identity(12, 10))
    assert 140_000 < sum(p.numel() for p in network.parameters()) < 260_000


def test_configurations_that_cannot_work_are_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'mlp'"):
        ChunkingConfig(head="mpl")
    with pytest.raises(UsageError, match="multiple of 4"):
        ChunkingConfig(image_size=66)
    with pytest.raises(UsageError, match=r"elements 8\.\.11"):
        ChunkingConfig(state_size=7)
    with pytest.raises(UsageError, match="different names"):
        ChunkingConfig(cameras=("wrist", "wrist"))
    with pytest.raises(UsageError, match="four positive"):
        ChunkingConfig(channels=(4, 4, 4))
    with pytest.raises(UsageError, match="must be positive"):
        ChunkingConfig(chunk_length=0)
    with pytest.raises(DataError, match=r"\(12, 4\)"):
        build_network(ChunkingConfig(), Normalisation.identity(12, 4))


def test_constants_that_would_divide_by_zero_or_are_not_finite_are_refused():
    values = Normalisation.identity(12, 2).to_json()
    with pytest.raises(DataError, match="must be positive"):
        Normalisation.from_json(values | {"state_std": [0.0] * 12})
    with pytest.raises(DataError, match="not finite"):
        Normalisation.from_json(values | {"motion_mean": [[0.0, 0.0, 0.0, float("nan")]] * 2})
    with pytest.raises(DataError, match="differ in shape"):
        Normalisation.from_json(values | {"state_mean": [0.0]})
    with pytest.raises(DataError, match="has fields"):
        Normalisation.from_json({"state_mean": []})
