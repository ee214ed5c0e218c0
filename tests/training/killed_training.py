"""Train the toy for a test and die by SIGKILL when told to: python killed_training.py DIR STEP."""

import os
import signal
import sys
from pathlib import Path

from toy_demonstrations import POLICY, make_arrays, make_statistics

from steadyhand.contracts.progress import Silent
from steadyhand.training.behaviour_cloning import BehaviourCloningConfig, train

CONFIG = BehaviourCloningConfig(
    num_threads=1,
    num_steps=60,
    batch_size=16,
    log_every=5,
    checkpoint_every=10,
    candidate_steps=(30,),
)


class Killing(Silent):
    """Progress that kills its process without warning at a step."""

    def __init__(self, step):
        self.step = step

    def update(self, phase, done, total, unit):
        if done == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def run(directory, step):
    arrays = make_arrays()
    statistics = make_statistics(arrays)
    return train(CONFIG, POLICY, arrays, statistics, Path(directory), Killing(step))


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]))
