"""What several stages need to try a policy in closed loop: sources of policies, settings, suites.

A source names a policy and loads it in whichever process needs it; its digest is its identity.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from steadyhand.contracts.errors import DataError, UsageError, storage_error
from steadyhand.contracts.executor import Executor
from steadyhand.contracts.policy import Policy
from steadyhand.contracts.progress import Progress
from steadyhand.evaluation.closed_loop import ClosedLoopEpisode
from steadyhand.evaluation.suite import Condition, Evaluation, Suite, evaluate
from steadyhand.jobs.stage import StageInput
from steadyhand.runtime.bundle import MANIFEST, SIGNATURE, load_bundle, verify_bundle
from steadyhand.runtime.config import RuntimeConfig
from steadyhand.runtime.timing import ChunkTiming, chunk_timing
from steadyhand.sim.catalog import make_environment
from steadyhand.store.atomic import read_json, replace_directory, write_json
from steadyhand.store.signing import PublicKey

CHECKPOINT_FILE = "config.json"


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """How the control loop runs in evaluations, and what a bundle declares.

    Args:
        control_rate_hz: Ticks per second of the control loop.
        delay_ms: Simulated time an inference takes.
        latency_budget_ms: Largest age of an observation whose chunk may still be executed.
        refill_threshold: Fraction of the chunk left at which the next inference is requested.
    """

    control_rate_hz: float = 50.0
    delay_ms: float = 50.0
    latency_budget_ms: float = 200.0
    refill_threshold: float = 0.6

    @property
    def runtime(self) -> RuntimeConfig:
        """The same as settings of the runtime."""
        return RuntimeConfig(
            control_rate_hz=self.control_rate_hz,
            latency_budget_ms=self.latency_budget_ms,
            refill_threshold=self.refill_threshold,
        )


@dataclass(frozen=True, slots=True)
class CheckpointSource:
    """A trained policy, run by torch.

    Args:
        directory: Its files.
        digest: Digest of them.
    """

    directory: Path
    digest: str

    def __call__(self) -> Policy:
        """Load the policy."""
        # Workers that run bundles only must not pay for torch.
        from steadyhand.models.checkpoints import load_policy  # noqa: PLC0415

        return load_policy(self.directory)


@dataclass(frozen=True, slots=True)
class BundleSource:
    """A signed bundle, run by its engine.

    Args:
        directory: The bundle.
        trusted_keys: Keys whose signature is accepted.
        digest: Digest of the bundle.
    """

    directory: Path
    trusted_keys: tuple[PublicKey, ...]
    digest: str

    def __call__(self) -> Policy:
        """Verify and load the bundle."""
        return load_bundle(self.directory, self.trusted_keys).policy


@dataclass(frozen=True, slots=True)
class Candidate:
    """A policy that is to be tried.

    Args:
        name: ``checkpoint`` or ``bundle``.
        source: Loads it.
        timing: Windows of its chunks.
        runtime: Settings of the control loop.
        delay_ms: Simulated time an inference takes.
    """

    name: str
    source: CheckpointSource | BundleSource
    timing: ChunkTiming
    runtime: RuntimeConfig
    delay_ms: float

    @property
    def episode(self) -> ClosedLoopEpisode:
        """What runs one of its episodes."""
        return ClosedLoopEpisode(
            policy=self.source,
            timing=self.timing,
            runtime=self.runtime,
            delay_s=self.delay_ms / 1e3,
        )


def is_bundle(directory: Path) -> bool:
    """Whether a directory is, or holds, a bundle."""
    return any((d / MANIFEST).is_file() for d in (directory, directory / "bundle"))


def policy_directory(directory: Path) -> Path:
    """Return where a trained policy lies: the directory itself, or its ``policy/``.

    Raises:
        UsageError: If there is none.
    """
    for found in (directory, directory / "policy"):
        if (found / CHECKPOINT_FILE).is_file():
            return found
    raise UsageError(f"{directory} holds no policy: no {CHECKPOINT_FILE}; check the path")


def checkpoint_candidate(directory: Path, digest: str, loop: LoopConfig) -> Candidate:
    """Return a trained policy with the settings it is to be tried with.

    Args:
        directory: A policy's directory, or an artifact that holds one as ``policy/``.
        digest: Digest of the artifact.
        loop: Settings.

    Raises:
        UsageError: If there is no policy.
    """
    from steadyhand.models.checkpoints import load_policy  # noqa: PLC0415  torch

    found = policy_directory(directory)
    config = load_policy(found).config
    timing = ChunkTiming(
        config.action_period_s,
        config.chunk_length,
        loop.latency_budget_ms / 1e3,
        loop.refill_threshold,
    )
    source = CheckpointSource(found, digest)
    return Candidate("checkpoint", source, timing, loop.runtime, loop.delay_ms)


def bundle_candidate(directory: Path, keys: Sequence[PublicKey], loop: LoopConfig) -> Candidate:
    """Return a bundle with the settings it declares.

    Args:
        directory: The signed bundle.
        keys: Keys whose signature is accepted.
        loop: Rate and delay; budget and threshold are those of the bundle.
    """
    verified = verify_bundle(directory, keys)
    runtime = replace(loop.runtime, latency_budget_ms=None, refill_threshold=None)
    return Candidate(
        name="bundle",
        source=BundleSource(directory, tuple(keys), verified.digest),
        timing=chunk_timing(verified.manifest, runtime),
        runtime=runtime,
        delay_ms=loop.delay_ms,
    )


def assemble_bundle(given: StageInput, target: Path) -> Path:
    """Put a bundle and its signature together; the signature belongs to the workspace.

    Args:
        given: The output of an export, or a directory that is a signed bundle.
        target: Where to; replaced if it exists.

    Returns:
        The directory of the signed bundle.

    Raises:
        StorageError: If copying failed.
    """
    if (given.directory / MANIFEST).is_file():
        return given.directory
    partial = target.with_name(f".{target.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(given.directory / "bundle", partial)
        if given.measurements is not None:
            shutil.copyfile(given.measurements / "bundle" / SIGNATURE, partial / SIGNATURE)
    except OSError as error:
        raise storage_error(error, "assembling a bundle") from error
    replace_directory(partial, target)
    return target


def condition(task: str, seed: int, num_episodes: int) -> Condition:
    """Return episodes of a task in its present version."""
    environment = make_environment(task)
    try:
        return Condition(task, environment.task_version, seed, num_episodes)
    finally:
        environment.close()


@dataclass(frozen=True, slots=True)
class Trials:
    """Evaluations of a stage, kept in its directory, so that a restarted stage has them.

    Args:
        directory: Where they are kept.
        executor: Where episodes run.
        progress: Told after each episode.
        measured: Measurements of this process's evaluations, by candidate.
    """

    directory: Path
    executor: Executor
    progress: Progress
    measured: dict[str, object] = field(default_factory=dict)

    def evaluate(self, name: str, suite: Suite, episode: ClosedLoopEpisode) -> Evaluation:
        """Evaluate, or return what was evaluated before a restart.

        Args:
            name: Name of the candidate, unique within the stage.
            suite: The episodes.
            episode: Runs one.
        """
        path = self.directory / f"{name}.json"
        timings = self.directory / f"{name}.measured.json"
        if path.exists():
            done = Evaluation.from_json(read_json(path))
            if done.suite != suite:
                raise DataError(f"{path} was made for other episodes; remove the stage directory")
            self.measured[name] = read_json(timings)
            return done
        done = evaluate(
            suite,
            episode,
            self.executor,
            self.progress,
            candidate=name,
            settings=episode.settings,
        )
        self.measured[name] = done.measurements()
        write_json(timings, done.measurements())
        write_json(path, done.to_json())
        return done
