import math
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from killed_training import CONFIG, run
from toy_demonstrations import POLICY, make_arrays, make_statistics

from steadyhand.contracts.clock import ManualClock
from steadyhand.contracts.errors import (
    DataError,
    MachineError,
    StageError,
    StorageError,
    UsageError,
)
from steadyhand.models.checkpoints import load_policy
from steadyhand.store.tensors import read_tensors
from steadyhand.training.behaviour_cloning import BehaviourCloningConfig, train

SHORT = BehaviourCloningConfig(num_steps=20, batch_size=16, log_every=5, checkpoint_every=10)


def read_weights(candidate: Path) -> dict[str, np.ndarray]:
    return read_tensors(candidate / "weights.safetensors")[0]


def is_equal(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name]) for name in first
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return run(tmp_path_factory.mktemp("whole"), -1)


def train_until_killed(directory: Path, step: int) -> None:
    script = Path(__file__).parent / "killed_training.py"
    command = [sys.executable, script, str(directory), str(step)]
    done = subprocess.run(command, check=False, timeout=120)
    assert done.returncode == (0 if step < 0 else -signal.SIGKILL)


def test_it_learns_the_trivial_task(arrays, statistics, policy_config, tmp_path, progress):
    config = replace(SHORT, num_steps=160, batch_size=32, checkpoint_every=160, learning_rate=3e-3)
    train(config, policy_config, arrays, statistics, tmp_path, progress)
    losses = [row["loss_motion"] for _, row in progress.rows]
    assert losses[-1] < 0.4 * losses[0]
    assert progress.rows[-1][1]["loss_grip"] < 0.05


def test_a_training_killed_and_resumed_in_new_processes_ends_with_the_same_bits(
    uninterrupted, tmp_path
):
    for step in (5, 45, -1):
        train_until_killed(tmp_path, step)
    for candidate in uninterrupted:
        resumed = tmp_path / "candidates" / candidate.name
        for file in sorted(candidate.iterdir()):
            assert (resumed / file.name).read_bytes() == file.read_bytes()
        assert is_equal(read_weights(candidate), read_weights(resumed))
    whole = uninterrupted[0].parents[1] / "checkpoints" / "step-000060" / "tensors.safetensors"
    assert (tmp_path / "checkpoints/step-000060/tensors.safetensors").read_bytes() == (
        whole.read_bytes()
    )


def test_one_thread_and_two_give_the_same_bits(
    arrays, statistics, policy_config, tmp_path, progress
):
    weights = [
        read_weights(
            train(
                replace(SHORT, num_threads=n),
                policy_config,
                arrays,
                statistics,
                tmp_path / str(n),
                progress,
            )[-1]
        )
        for n in (1, 2)
    ]
    assert is_equal(*weights)


def test_the_seed_decides_the_weights(arrays, statistics, policy_config, tmp_path, progress):
    paths = [
        train(
            replace(SHORT, seed=s), policy_config, arrays, statistics, tmp_path / str(s), progress
        )
        for s in (0, 1)
    ]
    assert not is_equal(read_weights(paths[0][-1]), read_weights(paths[1][-1]))


def test_a_damaged_newest_checkpoint_is_passed_over_aloud_and_the_result_is_the_same(
    uninterrupted, tmp_path, progress, arrays, statistics
):
    train_until_killed(tmp_path, 45)
    checkpoints = tmp_path / "checkpoints"
    assert sorted(p.name for p in checkpoints.iterdir()) == ["step-000030", "step-000040"]
    damaged = checkpoints / "step-000040" / "tensors.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    (checkpoints / ".tmp-torn").mkdir()
    (checkpoints / ".tmp-torn" / "tensors.safetensors").write_bytes(b"half")
    candidates = train(CONFIG, POLICY, arrays, statistics, tmp_path, progress)
    assert "damaged" in progress.said[0]
    assert progress.said[1] == "training goes on from step 30"
    assert is_equal(read_weights(candidates[-1]), read_weights(uninterrupted[-1]))
    assert sorted(p.name for p in checkpoints.iterdir()) == ["step-000050", "step-000060"]


def test_a_finished_training_is_not_trained_again(
    arrays, statistics, policy_config, tmp_path, progress
):
    first = train(SHORT, policy_config, arrays, statistics, tmp_path, progress)
    rows = len(progress.rows)
    assert train(SHORT, policy_config, arrays, statistics, tmp_path, progress) == first
    assert len(progress.rows) == rows


def test_a_directory_of_another_training_is_refused(
    arrays, statistics, policy_config, tmp_path, progress
):
    train(SHORT, policy_config, arrays, statistics, tmp_path, progress)
    with pytest.raises(DataError, match="directory of its own"):
        train(replace(SHORT, seed=1), policy_config, arrays, statistics, tmp_path, progress)
    others = make_arrays(seed=1)
    with pytest.raises(DataError, match="directory of its own"):
        train(SHORT, policy_config, others, make_statistics(others), tmp_path, progress)


def test_freezing_vision_trains_the_head_and_leaves_every_vision_tensor_alone(
    arrays, statistics, policy_config, tmp_path, progress
):
    path = train(SHORT, policy_config, arrays, statistics, tmp_path / "a", progress)[-1]
    initial, before = load_policy(path), read_weights(path)
    frozen = replace(SHORT, freeze_vision=True)
    tuned = train(
        frozen, policy_config, arrays, statistics, tmp_path / "b", progress, initial=initial
    )
    after = read_weights(tuned[-1])
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {name for name in before if name.startswith("head.")}
    assert is_equal(before, read_weights(path))
    with pytest.raises(UsageError, match="needs an initial policy"):
        train(frozen, policy_config, arrays, statistics, tmp_path / "c", progress)


def test_metrics_hold_losses_gradient_rate_and_speed(
    arrays, statistics, policy_config, tmp_path, progress
):
    clock = ManualClock()

    class Advancing(type(progress)):
        def metrics(self, step, values):
            super().metrics(step, values)
            clock.advance_s(0.5)

    reported = Advancing()
    train(SHORT, policy_config, arrays, statistics, tmp_path, reported, clock=clock)
    assert [step for step, _ in reported.rows] == [5, 10, 15, 20]
    values = reported.rows[1][1]
    assert set(values) == {
        "loss",
        "loss_motion",
        "loss_grip",
        "gradient_norm",
        "learning_rate",
        "steps_per_s",
    }
    assert values["loss"] == pytest.approx(values["loss_motion"] + 0.3 * values["loss_grip"])
    assert all(math.isfinite(v) for v in values.values())
    assert reported.updates[-1] == ("train", 20, 20, "steps")


def test_a_diverging_training_names_the_step_and_the_learning_rate(
    arrays, statistics, policy_config, tmp_path, progress
):
    config = replace(SHORT, learning_rate=1e30, warmup_steps=0)
    with pytest.raises(StageError, match=r"training step \d+: .*learning rate 1e\+30 is too high"):
        train(config, policy_config, arrays, statistics, tmp_path, progress)
    assert not (tmp_path / "candidates").exists()


def test_values_that_are_not_finite_and_wrong_sizes_are_refused(
    arrays, statistics, policy_config, tmp_path, progress
):
    state = arrays.state.copy()
    state[7, 3] = np.nan
    broken = replace(arrays, state=state)
    with pytest.raises(DataError, match="'state' is not finite in row 7"):
        train(SHORT, policy_config, broken, statistics, tmp_path, progress)
    large = replace(policy_config, image_size=32)
    with pytest.raises(DataError, match=r"wrist' has shape \[120, 16, 16, 3\]"):
        train(SHORT, large, arrays, statistics, tmp_path, progress)
    other = replace(policy_config, cameras=("wrist", "elbow"))
    with pytest.raises(DataError, match=r"elbow' has shape \[\]"):
        train(SHORT, other, arrays, statistics, tmp_path, progress)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_missing_cuda_is_an_error_not_a_slow_training(
    arrays, statistics, policy_config, tmp_path, progress
):
    config = replace(SHORT, device="cuda")
    with pytest.raises(MachineError, match="no CUDA GPU"):
        train(config, policy_config, arrays, statistics, tmp_path, progress)


def test_a_full_disk_is_one_clear_error_and_older_checkpoints_survive(
    arrays, statistics, policy_config, tmp_path, progress
):
    train(SHORT, policy_config, arrays, statistics, tmp_path / "a", progress)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        train(SHORT, policy_config, arrays, statistics, tmp_path / "file" / "b", progress)
    assert (tmp_path / "a" / "checkpoints" / "step-000020" / "state.json").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_steps": 0}, "num_steps out of range"),
        ({"num_threads": 3}, "num_threads"),
        ({"checkpoint_every": 30, "log_every": 20}, "multiple of log_every"),
        ({"learning_rate": math.nan}, "must be positive"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"candidate_steps": (9999,)}, "candidate_steps"),
        ({"device": "tpu"}, "'cpu' or 'cuda'"),
    ],
)
def test_configurations_that_cannot_work_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        BehaviourCloningConfig(**settings)
