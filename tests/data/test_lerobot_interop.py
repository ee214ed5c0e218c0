"""LeRobot's own loader opens what we record.

LeRobot pins another torch, so it lives in an interpreter of its own, named by the environment
variable STEADYHAND_LEROBOT_PYTHON; docs/formats/dataset.md says how to make one.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from steadyhand.data.dataset import Dataset, repair

INTERPRETER = os.environ.get("STEADYHAND_LEROBOT_PYTHON")
READER = Path(__file__).parent / "lerobot_reader.py"
CAMERA = "observation.images.wrist"

pytestmark = pytest.mark.skipif(
    INTERPRETER is None, reason="STEADYHAND_LEROBOT_PYTHON names no interpreter with lerobot"
)


def read_with_lerobot(dataset, tmp_path):
    episodes = [dataset.episode(i) for i in range(dataset.num_episodes)]
    expected = {n: np.concatenate([e.columns[n] for e in episodes]) for n in episodes[0].columns}
    expected[CAMERA] = np.concatenate([e.images[CAMERA] for e in episodes])
    np.savez(tmp_path / "expected.npz", **expected)
    command = [INTERPRETER, str(READER), str(dataset.root), str(tmp_path / "expected.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("is_repaired", [False, True])
def test_lerobot_reads_every_row_and_frame(dataset_root, tmp_path, notes, is_repaired):
    if is_repaired:
        (dataset_root / "data/chunk-000/file-001.parquet").unlink()
        repair(dataset_root, notes)
    dataset = Dataset.open(dataset_root)
    lengths = [trial.num_steps for trial in dataset.trials()]
    report = read_with_lerobot(dataset, tmp_path)
    assert report["lengths"] == lengths
    assert report["num_frames"] == report["num_read"] == sum(lengths)
    assert report["fps"] == 20
    assert report["tasks"] == ["take the cube", "push the cube"]
    worst = report["largest_difference"]
    assert worst.pop(CAMERA) < 1.5
    assert set(worst.values()) == {0.0}
    assert report["part_length"] == lengths[1]
    assert report["part_episode"] == 1
    assert report["part_task"] == dataset.trial(1).instruction
    assert report["window_shape"] == [3, 2]
    assert report["image_shape"] == [3, 16, 16]
