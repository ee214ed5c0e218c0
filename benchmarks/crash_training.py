"""Kills a training 20 times with SIGKILL and compares the weights it ends with, tensor by tensor.

The training is a real one in small: demonstrations from the simulator, the shipped network, 80
steps, a checkpoint every 2. One run is left alone; the others are killed at random moments, at
start-up, between steps and inside checkpoints, and resumed each time by a new process.

    python benchmarks/crash_training.py [--kills 20] [--no-result]
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from result_file import Claim, describe_versions, write_result
from steadyhand.contracts.progress import Silent
from steadyhand.contracts.seeds import stream
from steadyhand.data.feature_statistics import FeatureStatistics
from steadyhand.data.loader import TrainingArrays
from steadyhand.data.splits import Statistics
from steadyhand.models.policies.chunking import ChunkingConfig
from steadyhand.sim.tasks.pick_place_expert import DemonstrationConfig, demonstrate
from steadyhand.store.tensors import read_tensors, write_tensors
from steadyhand.training.behaviour_cloning import BehaviourCloningConfig, train

CONFIG = BehaviourCloningConfig(
    num_steps=80, batch_size=16, checkpoint_every=2, log_every=2, candidate_steps=(40,)
)
CAMERAS = ("observation.images.wrist", "observation.images.scene")
NUM_DEMONSTRATIONS = 4


def record(path: Path) -> None:
    """Write a few demonstrations as tensors."""
    config = DemonstrationConfig(task="pick_place-hard")
    episodes = [demonstrate(config, index) for index in range(NUM_DEMONSTRATIONS)]
    lengths = [episode.num_steps for episode in episodes]
    ends = np.cumsum(lengths, dtype=np.int64)
    tensors = {
        "state": np.concatenate([e.columns["observation.state"] for e in episodes]),
        "action": np.concatenate([e.columns["action"] for e in episodes]),
        "is_label": np.concatenate([e.columns["is_label"] for e in episodes]),
        "episode_end": np.repeat(ends, lengths),
        "episode_start": np.repeat(ends - lengths, lengths),
    }
    tensors |= {key: np.concatenate([e.images[key] for e in episodes]) for key in CAMERAS}
    write_tensors(path, tensors, {})


def train_here(data: Path, directory: Path) -> None:
    """Train, or go on training, in this process."""
    tensors, _ = read_tensors(data)
    arrays = TrainingArrays(
        frames={key: tensors[key] for key in CAMERAS},
        state=tensors["state"],
        action=tensors["action"],
        is_label=tensors["is_label"],
        episode_start=tensors["episode_start"],
        episode_end=tensors["episode_end"],
        episodes=tuple(range(NUM_DEMONSTRATIONS)),
    )
    values = arrays.state.astype(np.float64)
    of_state = FeatureStatistics(
        low=values.min(axis=0),
        high=values.max(axis=0),
        mean=values.mean(axis=0),
        std=values.std(axis=0),
        count=len(values),
        quantiles=np.quantile(values, (0.01, 0.1, 0.5, 0.9, 0.99), axis=0),
    )
    statistics = Statistics({"observation.state": of_state}, "crash", "crash")
    train(CONFIG, ChunkingConfig(), arrays, statistics, directory, Silent())


def train_elsewhere(data: Path, directory: Path, life_s: float | None) -> bool:
    """Train in a new process and kill it after some time; return whether it was killed."""
    command = [sys.executable, __file__, "--data", str(data), "--directory", str(directory)]
    with subprocess.Popen(command) as victim:
        try:
            code = victim.wait(life_s)
        except subprocess.TimeoutExpired:
            victim.kill()
            return True
    if code != 0:
        raise RuntimeError(f"the training failed by itself with exit code {code}")
    return False


def read_result(directory: Path) -> dict[str, np.ndarray]:
    """Return every tensor of both candidates and of the last checkpoint."""
    found: dict[str, np.ndarray] = {}
    files = sorted(directory.glob("candidates/*/weights.safetensors"))
    files.append(directory / "checkpoints" / f"step-{CONFIG.num_steps:06d}" / "tensors.safetensors")
    for file in files:
        tensors, _ = read_tensors(file)
        found |= {f"{file.relative_to(directory)}:{k}": v for k, v in tensors.items()}
    return found


def newest_step(directory: Path) -> int:
    """Return the step that a resumed training goes on from."""
    return max((int(p.name[5:]) for p in directory.glob("checkpoints/step-*")), default=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--no-result", action="store_true", help="write no result file")
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.data:
        train_here(arguments.data, arguments.directory)
        return
    began_s = time.monotonic()
    root = Path(tempfile.mkdtemp(prefix="crash-training-"))
    data = root / "data.safetensors"
    record(data)
    train_elsewhere(data, root / "warm-up", None)
    started_s = time.monotonic()
    train_elsewhere(data, root / "whole", None)
    whole_s = time.monotonic() - started_s
    expected = read_result(root / "whole")
    chance = stream("crash_training")
    kills, leftovers, trainings, wrong, steps = 0, 0, 0, [], []
    while kills < arguments.kills:
        directory = root / f"killed-{trainings}"
        while kills < arguments.kills and newest_step(directory) < CONFIG.num_steps:
            if train_elsewhere(data, directory, float(chance.uniform(0, whole_s))):
                kills += 1
                steps.append(newest_step(directory))
                leftovers += len(list(directory.glob("*/.tmp-*")))
        train_elsewhere(data, directory, None)
        result = read_result(directory)
        trainings += 1
        wrong += [
            name
            for name in sorted(expected.keys() | result.keys())
            if name not in result
            or name not in expected
            or not np.array_equal(result[name], expected[name])
        ]
    shutil.rmtree(root)
    print(f"{kills} kills over {trainings} trainings of {whole_s:.1f} s; {leftovers} hit a write")
    print(f"newest checkpoint after each kill: {steps}")
    print(f"{len(expected)} tensors compared per training, {len(wrong)} differ: {wrong[:5]}")
    if not arguments.no_result:
        claims = [
            Claim("SIGKILLs at random moments of a training", kills, "kills", ">=", 20),
            Claim(
                f"tensors that differ from the uninterrupted training ({trainings} trainings, "
                f"{len(expected)} tensors each: weights, averages, optimiser, random state)",
                len(wrong),
                "tensors",
                "==",
                0,
                repeats=trainings,
            ),
        ]
        versions = describe_versions(["torch", "numpy", "safetensors"])
        command = f"python benchmarks/crash_training.py --kills {arguments.kills}"
        write_result("crash_training", claims, versions, time.monotonic() - began_s, command)


if __name__ == "__main__":
    main()
