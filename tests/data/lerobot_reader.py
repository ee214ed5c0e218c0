"""Reads a dataset with LeRobot's own loader; runs in an interpreter that has lerobot, not ours.

    python tests/data/lerobot_reader.py DATASET EXPECTED.npz

Prints one JSON object: what LeRobot says about the dataset, and the largest difference to the
expected values per column and camera, over every frame.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np


def define_missing_torchvision_operators():
    """Let torchvision import where its wheel does not match a CPU build of torch."""
    import torch

    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def read(root, expected):
    """Return what LeRobot reads."""
    import lerobot
    import torch
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    dataset = LeRobotDataset("steadyhand/interop", root=root)
    cameras = dataset.meta.video_keys
    worst = dict.fromkeys(expected, 0.0)
    for index in range(len(dataset)):
        item = dataset[index]
        for name, values in expected.items():
            got = item[name].to(torch.float64).numpy()
            got = got.transpose(1, 2, 0) * 255 if name in cameras else got
            want = np.asarray(values[index]).astype(np.float32)  # LeRobot returns float32
            worst[name] = max(worst[name], float(np.abs(got.reshape(want.shape) - want).max()))
    part = LeRobotDataset("steadyhand/interop", root=root, episodes=[1])
    deltas = {"action": [0.0, 1 / dataset.fps, 2 / dataset.fps]}
    window = LeRobotDataset("steadyhand/interop", root=root, delta_timestamps=deltas)
    return {
        "lerobot": lerobot.__version__,
        "num_episodes": dataset.num_episodes,
        "num_frames": dataset.num_frames,
        "num_read": len(dataset),
        "fps": dataset.fps,
        "lengths": [int(e["length"]) for e in dataset.meta.episodes],
        "tasks": list(dataset.meta.tasks.index),
        "stats": sorted(dataset.meta.stats),
        "largest_difference": worst,
        "part_length": len(part),
        "part_task": part[0]["task"],
        "part_episode": int(part[0]["episode_index"]),
        "image_shape": list(part[0][cameras[0]].shape),
        "window_shape": list(window[1]["action"].shape),
    }


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("HF_HOME", str(Path(sys.argv[2]).parent / "hf"))
    keep_alive = define_missing_torchvision_operators()
    report = read(Path(sys.argv[1]), dict(np.load(sys.argv[2])))
    sys.stdout.write(json.dumps(report) + "\n")
