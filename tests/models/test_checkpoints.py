import json

import numpy as np
import pytest
import torch

from steadyhand.contracts.errors import DataError, IntegrityError, StorageError, UnknownNameError
from steadyhand.contracts.seeds import stream
from steadyhand.models.checkpoints import load_policy, write_policy
from steadyhand.models.normalisation import Normalisation
from steadyhand.models.policies.chunking import HEADS, ChunkingConfig, ChunkingPolicy, build_network


def make_policy(head: str = "mlp", seed: int = 3) -> ChunkingPolicy:
    config = ChunkingConfig(image_size=16, channels=(4, 4, 4, 4), head=head)
    values = stream("test", seed).uniform(0.1, 1, (2, 12)).tolist()
    motion = stream("test", seed, "motion").uniform(0.1, 1, (10, 4)).tolist()
    constants = Normalisation.from_json(
        {
            "state_mean": values[0],
            "state_std": values[1],
            "motion_mean": motion,
            "motion_std": motion,
        }
    )
    torch.manual_seed(seed)
    return ChunkingPolicy(config, constants, build_network(config, constants))


def read_all(directory) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


@pytest.mark.parametrize("head", sorted(HEADS))
def test_a_policy_read_back_decides_the_very_same_bits(tmp_path, head):
    policy = make_policy(head)
    write_policy(tmp_path / "p", policy)
    loaded = load_policy(tmp_path / "p")
    rng = stream("observation")
    observation = {
        "observation.images.wrist": rng.integers(0, 256, (16, 16, 3), np.uint8),
        "observation.images.scene": rng.integers(0, 256, (16, 16, 3), np.uint8),
        "observation.state": rng.standard_normal(12, np.float32),
    }
    before, _ = policy.act(observation, policy.initial_state(), rng)
    after, _ = loaded.act(observation, loaded.initial_state(), rng)
    assert np.array_equal(before.actions, after.actions)
    assert loaded.config == policy.config
    assert loaded.normalisation == policy.normalisation


def test_equal_policies_are_equal_bytes_and_nothing_else_lies_beside_them(tmp_path):
    write_policy(tmp_path / "a", make_policy())
    write_policy(tmp_path / "b", load_policy(tmp_path / "a"))
    assert read_all(tmp_path / "a") == read_all(tmp_path / "b")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
    assert set(read_all(tmp_path / "a")) == {
        "config.json",
        "statistics.json",
        "weights.safetensors",
    }


def test_loading_leaves_the_global_random_generator_alone(tmp_path):
    write_policy(tmp_path / "p", make_policy())
    torch.manual_seed(1)
    expected = torch.rand(4)
    torch.manual_seed(1)
    load_policy(tmp_path / "p")
    assert torch.equal(torch.rand(4), expected)


def test_writing_replaces_an_older_policy(tmp_path):
    write_policy(tmp_path / "p", make_policy(seed=1))
    write_policy(tmp_path / "p", make_policy(seed=2))
    assert load_policy(tmp_path / "p").normalisation == make_policy(seed=2).normalisation


def test_damaged_and_mismatched_files_are_refused_by_name(tmp_path):
    write_policy(tmp_path / "p", make_policy())
    weights = tmp_path / "p" / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(IntegrityError, match=r"weights\.safetensors is damaged"):
        load_policy(tmp_path / "p")
    write_policy(tmp_path / "q", make_policy("transformer"))
    weights.write_bytes((tmp_path / "q" / "weights.safetensors").read_bytes())
    with pytest.raises(DataError, match=r"does not fit its config.json: .*head.decoder"):
        load_policy(tmp_path / "p")
    weights.unlink()
    with pytest.raises(StorageError, match=r"weights\.safetensors"):
        load_policy(tmp_path / "p")


def test_another_schema_an_unknown_policy_and_unknown_fields_are_refused(tmp_path):
    write_policy(tmp_path / "p", make_policy())
    path = tmp_path / "p" / "config.json"
    good = json.loads(path.read_text())
    path.write_text(json.dumps(good | {"schema": 99}))
    with pytest.raises(DataError, match="schema 1"):
        load_policy(tmp_path / "p")
    path.write_text(json.dumps(good | {"policy": "chunkin"}))
    with pytest.raises(UnknownNameError, match="did you mean 'chunking'"):
        load_policy(tmp_path / "p")
    path.write_text(json.dumps(good | {"config": good["config"] | {"depth": 3}}))
    with pytest.raises(DataError, match="exactly the fields"):
        load_policy(tmp_path / "p")
