"""``steady run`` with the toy stages: python toy_run.py WORKSPACE RECIPE [OVERRIDE...]."""

import sys
from pathlib import Path

from steadyhand.contracts.clock import MonotonicClock
from steadyhand.contracts.errors import SteadyError
from steadyhand.jobs.executors.local import LocalExecutor
from steadyhand.jobs.recipe import read_recipe
from steadyhand.jobs.runner import Machinery, run_recipe
from steadyhand.jobs.workspace import Workspace


class Recorder:
    """An observer that remembers."""

    def __init__(self):
        self.events = []

    def started(self, stage, kind):
        self.events.append(("started", stage))

    def finished(self, outcome):
        self.events.append(("reused" if outcome.is_reused else "made", outcome.name))

    def update(self, phase, done, total, unit):
        self.events.append(("update", phase, done, total, unit))

    def metrics(self, step, values):
        self.events.append(("metrics", step))

    def say(self, message):
        self.events.append(("say", message))


def run_toy(workspace: Path, recipe: Path, overrides=(), observer=None):
    """Run a toy recipe in this process."""
    sys.path.insert(0, str(Path(__file__).parent))
    import toy_stages

    executor = LocalExecutor(2)
    try:
        return run_recipe(
            read_recipe(recipe, toy_stages.TOYS, overrides),
            Machinery(
                Workspace(workspace),
                toy_stages.TOYS,
                executor,
                MonotonicClock(),
                observer or Recorder(),
            ),
        )
    finally:
        executor.close()


if __name__ == "__main__":
    try:
        run_toy(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
    except SteadyError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
