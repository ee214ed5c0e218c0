"""Kills the recorder 200 times with SIGKILL and counts what is lost: it must be nothing.

Half of the kills hit a recorder that commits encoded episodes back to back, so that nearly every
kill lands inside a commit; the other half hit a live recording (journal, encoding, commit). After
each kill the directory is opened as it is, read in full, then recorded to again by the next victim.

    python benchmarks/crash_recorder.py [--kills 200] [--no-result]
"""

import argparse
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from result_file import Claim, describe_versions, write_result
from steadyhand.contracts.environment import EpisodeKey
from steadyhand.contracts.episode import Episode
from steadyhand.contracts.errors import SteadyError
from steadyhand.contracts.progress import Silent
from steadyhand.contracts.seeds import stream
from steadyhand.contracts.specs import ArraySpec
from steadyhand.data.dataset import Dataset
from steadyhand.data.encoding import encode_episode
from steadyhand.data.features import DatasetFeatures
from steadyhand.data.recorder import DatasetRecorder

CAMERA = "observation.images.wrist"
FEATURES = DatasetFeatures(
    fps=20,
    robot_type="panda",
    vectors=(
        ArraySpec("observation.state", (12,), "float32"),
        ArraySpec("action", (5,), "float32"),
    ),
    cameras=(ArraySpec(CAMERA, (32, 32, 3), "uint8"),),
)
NUM_STEPS = 10
EPISODES_PER_DATASET = 20
LONGEST_LIFE_S = 0.35


class Notes(Silent):
    """Counts what a recorder says it dropped."""

    def __init__(self) -> None:
        self.dropped = 0

    def say(self, message: str) -> None:
        """Count a message about something dropped."""
        self.dropped += message.startswith("dropped")


def synthetic_episode(index: int) -> Episode:
    rng = stream("crash_recorder", index)
    blocks = rng.integers(0, 255, (NUM_STEPS, 8, 8, 3), np.uint8)
    return Episode(
        key=EpisodeKey("crash", 1, 0, index),
        instruction="survive",
        facts={"cluster": "c0", "outcome": "success", "is_recovery": False},
        columns={
            "observation.state": rng.normal(size=(NUM_STEPS, 12)).astype(np.float32),
            "action": rng.normal(size=(NUM_STEPS, 5)).astype(np.float32),
            "captured_at_s": np.arange(NUM_STEPS) * 0.05,
            "is_label": np.ones(NUM_STEPS, np.bool_),
            "reward": np.zeros(NUM_STEPS, np.float32),
        },
        images={CAMERA: blocks.repeat(4, axis=1).repeat(4, axis=2)},
    )


def commit_forever(root: Path, pipe: Connection) -> None:
    """Commit encoded episodes until killed; report each one that is committed."""
    with DatasetRecorder.open(root, FEATURES, notes := Notes()) as recorder:
        start = recorder.num_episodes
        encoded = [encode_episode(synthetic_episode(start + i), FEATURES) for i in range(12)]
        pipe.send(("ready", notes.dropped))
        for one in encoded:
            recorder.commit(one)
            pipe.send(("committed", recorder.num_episodes))
    pipe.send(("done", start + len(encoded)))


def record_forever(root: Path, pipe: Connection) -> None:
    """Record episodes live until killed; report each one that is committed."""
    with DatasetRecorder.open(root, FEATURES, notes := Notes()) as recorder:
        pipe.send(("ready", notes.dropped))
        while True:
            episode = synthetic_episode(recorder.num_episodes)
            recorder.begin(episode.key, "survive", {"cluster": "c0", "is_recovery": False})
            for t in range(NUM_STEPS):
                observation = {
                    "observation.state": episode.columns["observation.state"][t],
                    CAMERA: episode.images[CAMERA][t],
                }
                recorder.append(observation, episode.columns["action"][t], t * 0.05)
            recorder.finish("success")
            pipe.send(("committed", recorder.num_episodes))


def kill_once(root: Path, path: str, life_s: float) -> tuple[int, int]:
    """Start a recorder, kill it after some time; return what it reported committed, and dropped."""
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe(duplex=False)
    target = commit_forever if path == "commit" else record_forever
    victim = context.Process(target=target, args=(root, theirs))
    victim.start()
    theirs.close()
    _, dropped = ours.recv()
    time.sleep(life_s)
    if victim.pid is None:
        raise RuntimeError("the victim has no process")
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    committed = 0
    try:
        while True:
            _, committed = ours.recv()
    except EOFError:
        return committed, dropped


def verify(root: Path, reported: int) -> tuple[int, int, bool]:
    """Read everything as the kill left it.

    Returns:
        Episodes there, episodes lost of those reported, and whether the dataset is readable.
    """
    try:
        dataset = Dataset.open(root)
        dataset.check()
    except SteadyError as error:
        print(f"UNREADABLE: {error}", file=sys.stderr)
        return 0, reported, False
    right = [t.key.index == t.episode for t in dataset.trials()]
    last = dataset.num_episodes - 1
    if last >= 0:
        rows = dataset.rows(last)["action"]
        right[last] &= np.array_equal(rows, synthetic_episode(last).columns["action"])
    return dataset.num_episodes, max(0, reported - sum(right)), True


def run(kills: int, scratch: Path) -> dict[str, Counter[str]]:
    """Kill recorders of both kinds and count what happened, by kind."""
    rng = stream("crash_recorder", "life")
    counts = {"commit": Counter[str](), "live": Counter[str]()}
    for path, count in counts.items():
        root, number, known = scratch / f"{path}-0", 0, 0
        for kill in range(kills // 2):
            life_s = float(rng.uniform(0, LONGEST_LIFE_S))
            reported, dropped = kill_once(root, path, life_s)
            known = max(known, reported)
            there, lost, is_readable = verify(root, known)
            count["kills"] += 1
            count["committed"] += max(0, there - count["before"])
            count["lost"] += lost
            count["unreadable"] += not is_readable
            count["torn and dropped"] += dropped
            count["before"] = there
            if sys.stderr.isatty():
                print(f"\r{path}: {kill + 1}/{kills // 2} kills", end="", file=sys.stderr)
            if there >= EPISODES_PER_DATASET:
                number, known, count["before"] = number + 1, 0, 0
                shutil.rmtree(root)
                root = scratch / f"{path}-{number}"
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description="SIGKILL the recorder and count what is lost")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--no-result", action="store_true", help="do not write the result file")
    arguments = parser.parse_args()
    multiprocessing.get_context("forkserver").set_forkserver_preload(["steadyhand.data.recorder"])
    begin_s = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="crash-recorder-") as scratch:
        counts = run(arguments.kills, Path(scratch))
    wall_s = time.perf_counter() - begin_s
    columns = ("kills", "committed", "torn and dropped", "lost", "unreadable")
    print(f"{'path':8}" + "".join(f"{name:>18}" for name in columns))
    for path, count in counts.items():
        print(f"{path:8}" + "".join(f"{count[name]:>18}" for name in columns))
    print(f"{wall_s:.0f} s")
    total = counts["commit"] + counts["live"]
    what = f"{total['kills']} SIGKILLs at random points, {total['committed']} episodes committed"
    claims = [
        Claim(f"committed episodes lost: {what}", total["lost"], "episodes", "==", 0),
        Claim(f"unreadable datasets: {what}", total["unreadable"], "datasets", "==", 0),
        Claim("SIGKILLs", total["kills"], "kills", ">=", arguments.kills),
    ]
    if not arguments.no_result:
        versions = describe_versions(("numpy", "pyarrow", "av"))
        print(
            write_result(
                "crash_recorder", claims, versions, wall_s, "make bench NAME=crash_recorder"
            )
        )
    return 0 if total["lost"] == total["unreadable"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
