"""Execute a recipe: every stage once, reused when nothing that decides its bytes has changed."""

import math
import shutil
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from steadyhand.contracts.clock import Clock
from steadyhand.contracts.errors import StageError, SteadyError, UsageError, storage_error
from steadyhand.contracts.executor import Executor
from steadyhand.contracts.progress import Progress
from steadyhand.jobs.configuration import plain
from steadyhand.jobs.locks import exclusive
from steadyhand.jobs.metrics import MetricLog, read_metrics
from steadyhand.jobs.recipe import Recipe, StageSpec
from steadyhand.jobs.run_directory import RunDirectory, StageOutcome
from steadyhand.jobs.stage import Catalog, Stage, StageContext, StageInput
from steadyhand.jobs.versions import describe_code, library_versions
from steadyhand.jobs.workspace import Workspace
from steadyhand.store.canonical import canonical_json, digest

METRICS = "metrics.jsonl"


class Observer(Progress, Protocol):
    """Who watches a run, e.g. the terminal: progress of the current stage, and its ends."""

    def started(self, stage: str, kind: str) -> None:
        """A stage begins, because it is not in the cache."""
        ...

    def finished(self, outcome: StageOutcome) -> None:
        """A stage has ended well, or was reused."""
        ...


@dataclass(frozen=True, slots=True)
class Machinery:
    """What a run needs besides its recipe.

    Args:
        workspace: Where everything is kept.
        catalog: The kinds of stages there are.
        executor: Runs independent units.
        clock: For measured durations.
        observer: Who is told.
    """

    workspace: Workspace
    catalog: Catalog
    executor: Executor
    clock: Clock
    observer: Observer


def run_recipe(recipe: Recipe, machinery: Machinery) -> RunDirectory:
    """Execute a recipe, or continue it where it was killed.

    Args:
        recipe: What to run.
        machinery: With what.

    Returns:
        The run directory, finished.

    Raises:
        UsageError: If the same recipe is being run in this workspace already.
        SteadyError: Whatever a stage raised; run again to continue from there.
    """
    name = f"{recipe.name}-{recipe.digest[:8]}"

    def refuse(holder: str) -> None:
        raise UsageError(
            f"run {name!r} is being executed by process {holder} already; wait for it to end, or "
            "use another --workspace"
        )

    workspace = machinery.workspace
    with exclusive(workspace.lock_path(f"run-{name}"), refuse):
        libraries = {n for s in recipe.stages for n in machinery.catalog[s.kind].libraries}
        run = RunDirectory.create(workspace.runs / name, recipe, sorted(libraries))
        try:
            _run_stages(recipe, machinery, run)
            run.finish()
        except SteadyError as error:
            run.log("".join(traceback.format_exception(error)))
            raise
        except OSError as error:
            run.log(traceback.format_exc())
            raise storage_error(error, f"run {name!r}") from error
        finally:
            run.close()
    return run


def _run_stages(recipe: Recipe, machinery: Machinery, run: RunDirectory) -> None:
    outcomes: dict[str, StageOutcome] = {}
    for spec in recipe.stages:
        progress = _StageProgress(spec.name, machinery.observer, run, run.metrics)
        inputs = _resolve_inputs(spec, recipe, outcomes, machinery.workspace, progress)
        outcome = _run_stage(spec, recipe.seed, inputs, machinery, progress)
        outcomes[spec.name] = outcome
        _import_metrics(outcome, machinery.workspace, progress, run)
        run.add(outcome, inputs)
        if machinery.catalog[spec.kind].is_published:
            run.publish(outcome, machinery.workspace, progress)
        machinery.observer.finished(outcome)


def _resolve_inputs(
    spec: StageSpec,
    recipe: Recipe,
    outcomes: Mapping[str, StageOutcome],
    workspace: Workspace,
    progress: Progress,
) -> dict[str, StageInput]:
    configs = {stage.name: plain(stage.config) for stage in recipe.stages}
    inputs: dict[str, StageInput] = {}
    for slot, source in spec.inputs.items():
        if isinstance(source, Path):
            key = workspace.put(source, progress)
            inputs[slot] = StageInput(str(source), key, workspace.tree(key, progress))
            continue
        made = outcomes[source]
        measured = made.measurements
        inputs[slot] = StageInput(
            stage=source,
            digest=made.digest,
            directory=workspace.tree(made.digest, progress),
            measurements=None if measured is None else workspace.tree(measured, progress),
            config=configs[source],
            headline=made.headline,
            seconds=made.seconds,
        )
    return inputs


def stage_key(
    spec: StageSpec, seed: int, inputs: Mapping[str, StageInput], stage: Stage[Any]
) -> str:
    """Return the hash of everything that decides a stage's bytes."""
    return digest(
        canonical_json(
            {
                "kind": spec.kind,
                "config": plain(spec.config),
                "seed": seed,
                "inputs": {slot: given.digest for slot, given in inputs.items()},
                "code": describe_code(stage),
                "libraries": library_versions(stage.libraries),
            }
        )
    )


def _run_stage(
    spec: StageSpec,
    seed: int,
    inputs: Mapping[str, StageInput],
    machinery: Machinery,
    progress: "_StageProgress",
) -> StageOutcome:
    stage = machinery.catalog[spec.kind]
    key = stage_key(spec, seed, inputs, stage)
    workspace = machinery.workspace

    def wait(holder: str) -> None:
        progress.say(f"stage {spec.name!r} is being executed by process {holder}; waiting for it")

    with exclusive(workspace.lock_path(f"stage-{key}"), wait):
        directory = workspace.stage_directory(key)
        found = workspace.recall(key, progress)
        is_reused = found is not None
        if found is None:
            machinery.observer.started(spec.name, spec.kind)
            context = StageContext(
                directory=directory,
                seed=seed,
                inputs=inputs,
                executor=machinery.executor,
                progress=progress,
                clock=machinery.clock,
                keys=workspace.keys,
            )
            found = _execute(spec, stage, context, progress, workspace)
            workspace.record(key, *found)
        shutil.rmtree(directory, ignore_errors=True)
    output, measured = found
    return StageOutcome(
        name=spec.name,
        kind=spec.kind,
        key=key,
        digest=output,
        measurements=measured["measurements"],
        headline=measured["headline"],
        facts=measured["facts"],
        seconds=measured["seconds"],
        is_reused=is_reused,
    )


def _execute(
    spec: StageSpec,
    stage: Stage[Any],
    context: StageContext,
    progress: "_StageProgress",
    workspace: Workspace,
) -> tuple[str, dict[str, Any]]:
    """Run a stage's function in its directory; return its artifact and what was measured."""
    began_s = context.clock.now_s()
    # What a killed attempt left half written must not become part of the artifact.
    for directory in (context.output, context.measurements):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
    metrics = MetricLog(context.directory / METRICS)
    try:
        result = stage.function(replace(context, progress=progress.keeping(metrics)), spec.config)
    except SteadyError:
        raise
    except OSError as error:
        raise storage_error(error, f"stage {spec.name!r}") from error
    except Exception as error:
        raise StageError(
            f"stage {spec.name!r} failed: {type(error).__name__}: {error}; its log names the line, "
            "and the same command continues from the last committed unit"
        ) from error
    finally:
        metrics.close()
    if read_metrics(context.directory / METRICS):
        shutil.copyfile(context.directory / METRICS, context.measurements / METRICS)
    has_measured = any(context.measurements.iterdir())
    return workspace.put(context.output, progress), {
        "measurements": workspace.put(context.measurements, progress) if has_measured else None,
        "headline": result.headline,
        "facts": plain(result.facts),
        "seconds": context.clock.now_s() - began_s,
    }


def _import_metrics(
    outcome: StageOutcome, workspace: Workspace, progress: Progress, run: RunDirectory
) -> None:
    """Put the curve of a reused stage into this run, too."""
    if outcome.measurements is None:
        return
    for line in read_metrics(workspace.tree(outcome.measurements, progress) / METRICS):
        values = {k: math.nan if v is None else v for k, v in line["values"].items()}
        run.metrics.append(outcome.name, line["step"], values)


class _StageProgress:
    """Passes reports on to the observer, and metrics to the files that keep them."""

    def __init__(self, stage: str, observer: Observer, run: RunDirectory, *logs: MetricLog) -> None:
        self._stage = stage
        self._observer = observer
        self._run = run
        self._logs = logs

    def keeping(self, log: MetricLog) -> "_StageProgress":
        """Return one that writes metrics to another file as well."""
        return _StageProgress(self._stage, self._observer, self._run, *self._logs, log)

    def update(self, phase: str, done: int, total: int, unit: str) -> None:
        """Pass it on."""
        self._observer.update(phase, done, total, unit)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Store and pass on."""
        for log in self._logs:
            log.append(self._stage, step, values)
        self._observer.metrics(step, values)

    def say(self, message: str) -> None:
        """Store and pass on."""
        self._run.log(f"{self._stage}: {message}")
        self._observer.say(message)
