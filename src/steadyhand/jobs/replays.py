"""Find what an evaluation of a past run was made with, to run one of its episodes again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steadyhand.contracts.environment import EpisodeKey
from steadyhand.contracts.errors import UnknownNameError, UsageError
from steadyhand.contracts.progress import Progress
from steadyhand.evaluation.suite import Evaluation
from steadyhand.jobs.configuration import read_config
from steadyhand.jobs.history import PastRun
from steadyhand.jobs.signer import trusted_keys
from steadyhand.jobs.stage import StageInput
from steadyhand.jobs.stages.evaluate import EVALUATION
from steadyhand.jobs.trials import (
    Candidate,
    LoopConfig,
    assemble_bundle,
    bundle_candidate,
    checkpoint_candidate,
    is_bundle,
)
from steadyhand.jobs.workspace import Workspace
from steadyhand.store.atomic import read_json

# By kind of stage, the slot whose artifact was tried.
SLOTS = {"evaluate": "policy", "reevaluate": "bundle"}


@dataclass(frozen=True, slots=True)
class PastEvaluation:
    """An evaluation and the candidate it is about.

    Args:
        evaluation: Its results.
        candidate: What was tried, with the same settings.
    """

    evaluation: Evaluation
    candidate: Candidate


def find_evaluation(
    run: PastRun, stage: str | None, workspace: Workspace, progress: Progress
) -> PastEvaluation:
    """Read an evaluation of a run and load its candidate again.

    Args:
        run: The run.
        stage: Name of the stage; None takes the first.
        workspace: Where its artifacts are.
        progress: Told if an artifact has to be restored.

    Raises:
        UsageError: If the run has evaluated nothing.
        UnknownNameError: If there is no such evaluation in the run.
    """
    names = [name for name, outcome in run.outcomes.items() if outcome.kind in SLOTS]
    if not names:
        raise UsageError(f"run {run.path.name!r} has evaluated nothing yet; run its recipe first")
    if stage is not None and stage not in names:
        raise UnknownNameError("evaluation stage", stage, names)
    outcome = run.outcomes[stage or names[0]]
    table = run.recipe["stages"][outcome.name]
    given = _given(table[SLOTS[outcome.kind]], run, workspace, progress)
    loop = read_config(LoopConfig, table["loop"], f"run {run.path.name}: {outcome.name}.loop")
    directory = workspace.tree(outcome.digest, progress)
    return PastEvaluation(
        Evaluation.from_json(read_json(directory / EVALUATION)),
        _candidate(given, loop, run, workspace),
    )


def find_episode(evaluation: Evaluation, wanted: str | None) -> EpisodeKey:
    """Return an episode of an evaluation by its name; None takes the first failure.

    Raises:
        UnknownNameError: If it was not evaluated.
        UsageError: If nothing failed and no name is given.
    """
    keys = {str(result.key): result.key for result in evaluation.results}
    if wanted is None:
        if not evaluation.failures:
            raise UsageError(
                f"no episode failed; name one with --episode, e.g. --episode {next(iter(keys))}"
            )
        return evaluation.failures[0].key
    if wanted not in keys:
        raise UnknownNameError("episode", wanted, keys)
    return keys[wanted]


def _given(source: Any, run: PastRun, workspace: Workspace, progress: Progress) -> StageInput:
    if not isinstance(source, str):
        path = Path(source["path"])
        return StageInput(str(path), workspace.put(path, progress), path)
    made = run.outcomes[source]
    measured = made.measurements
    return StageInput(
        source,
        made.digest,
        workspace.tree(made.digest, progress),
        None if measured is None else workspace.tree(measured, progress),
    )


def _candidate(
    given: StageInput, loop: LoopConfig, run: PastRun, workspace: Workspace
) -> Candidate:
    if not is_bundle(given.directory):
        return checkpoint_candidate(given.directory, given.digest, loop)
    bundle = assemble_bundle(given, run.path / ".bundle")
    return bundle_candidate(bundle, trusted_keys(workspace.keys), loop)
