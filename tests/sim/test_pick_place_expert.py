import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from steadyhand.contracts.errors import UnknownNameError, UsageError
from steadyhand.sim.tasks.pick_place_expert import DemonstrationConfig, decide, demonstrate

HASH_EPISODES = """
import hashlib, json, sys
from steadyhand.sim.tasks.pick_place_expert import DemonstrationConfig, demonstrate
for index in json.loads(sys.argv[1]):
    episode = demonstrate(DemonstrationConfig("pick_place-hard", seed=7), index)
digest = hashlib.sha256()
for name, array in sorted({**episode.columns, **episode.images}.items()):
    digest.update(name.encode() + array.tobytes())
print(digest.hexdigest(), json.dumps(dict(episode.facts), sort_keys=True))
"""


def test_the_expert_solves_thirty_hard_episodes(hard):
    lengths = []
    for index in range(30):
        hard.reset(100, index)
        for num_steps in range(1, 241):  # noqa: B007
            step = hard.step(decide(hard.world_state()))
            if step.is_last:
                break
        assert step.is_success, index
        lengths.append(num_steps)
    assert np.mean(lengths) < 80


def test_an_episode_has_the_same_bytes_in_any_process_in_any_order():
    outputs = [
        subprocess.run(
            [sys.executable, "-c", HASH_EPISODES, json.dumps(indices)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for indices in ([4], [2, 4])
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0].split()[0]) == hashlib.sha256().digest_size * 2


@pytest.fixture(scope="module")
def episodes():
    config = DemonstrationConfig("pick_place-hard", seed=3, recovery_share=0.5)
    return [demonstrate(config, index) for index in range(12)]


def test_demonstrations_succeed_despite_noise_and_pushes(episodes):
    assert [e.facts["outcome"] for e in episodes] == ["success"] * len(episodes)
    assert any(e.facts["is_recovery"] for e in episodes)
    assert not all(e.facts["is_recovery"] for e in episodes)
    assert any(e.facts["start"] == "random" for e in episodes)


def test_demonstrations_have_the_declared_columns_and_capture_times(episodes):
    for episode in episodes:
        n = episode.num_steps
        columns = episode.columns
        assert columns["observation.state"].shape == (n, 12)
        assert columns["observation.state"].dtype == np.float32
        assert columns["action"].shape == (n, 5)
        assert columns["action"].dtype == np.float32
        assert columns["is_label"].dtype == np.bool_
        assert columns["reward"][-1] == 1
        np.testing.assert_allclose(columns["captured_at_s"], 0.05 * np.arange(n), atol=1e-9)
        assert set(episode.images) == {
            "observation.images.wrist",
            "observation.images.scene",
        }


def test_rows_during_a_push_are_no_labels_and_all_others_are(episodes):
    for episode in episodes:
        num_masked = int((~episode.columns["is_label"]).sum())
        assert (num_masked > 0) == episode.facts["is_recovery"]
        assert num_masked <= 12


def test_labels_lead_the_measured_pose_by_no_more_than_the_expert_may(episodes):
    for episode in episodes:
        lead = episode.columns["action"][:, :4] - episode.columns["observation.state"][:, 8:]
        assert np.linalg.norm(lead[:, :3], axis=1).max() < 0.0451
        assert np.abs(lead[:, 3]).max() < 0.201


def test_without_shares_an_episode_is_undisturbed():
    config = DemonstrationConfig(
        "pick_place-plain", random_start_share=0, noise_share=0, recovery_share=0
    )
    facts = demonstrate(config, 0).facts
    assert (facts["start"], facts["is_recovery"], facts["has_noise"]) == ("rest", False, False)


def test_impossible_settings_are_refused():
    with pytest.raises(UsageError, match="noise_share must be between 0 and 1"):
        DemonstrationConfig("pick_place-hard", noise_share=1.5)
    with pytest.raises(UnknownNameError, match="did you mean"):
        DemonstrationConfig("pick_place-harder")
