"""Fakes that implement the interfaces, and a run whose numbers are realistic.

A module of its own name, because spawned processes import it again.
"""

import math
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from steadyhand.contracts.environment import EpisodeKey, Step
from steadyhand.contracts.policy import ActionChunk
from steadyhand.contracts.seeds import stream
from steadyhand.contracts.specs import ArraySpec
from steadyhand.evaluation.findings import (
    CheckRow,
    Film,
    Findings,
    Histogram,
    RuntimeFindings,
    SensitivityRow,
    Span,
    StageRow,
)
from steadyhand.evaluation.results import EpisodeResult, Rate
from steadyhand.evaluation.statistics import paired_difference
from steadyhand.evaluation.suite import Condition, Evaluation, Suite, compare
from steadyhand.kinematics import panda
from steadyhand.kinematics.controller import ACTION_SPEC
from steadyhand.runtime.timing import ChunkTiming
from steadyhand.sim.catalog import make_environment
from steadyhand.sim.tasks.pick_place import PickPlace
from steadyhand.sim.tasks.pick_place_expert import decide
from steadyhand.sim.tasks.pick_place_levels import TASK_VERSION

SUITE = Suite(
    (
        Condition("pick_place-hard", 1, 700, 200),
        Condition("pick_place-hard-held_out", 1, 701, 100),
        Condition("pick_place-shifted", 1, 702, 100),
    )
)
FAILING = {
    "checkpoint": {
        "pick_place-hard": (41,),
        "pick_place-hard-held_out": (3, 50, 77),
        "pick_place-shifted": (4, 9, 33, 61, 62, 80, 81),
    },
    "bundle": {
        "pick_place-hard": (41, 120),
        "pick_place-hard-held_out": (3, 50),
        "pick_place-shifted": (4, 9, 33, 61, 62, 80, 91),
    },
}


def result_of(key: EpisodeKey, is_success: bool) -> EpisodeResult:
    rng = stream("fake result", key.task, key.seed, key.index)
    held_out = key.task.endswith("-held_out")
    steps = int(rng.integers(70, 100)) if is_success else 200
    inferences = tuple(rng.gamma(30, 1e-4, steps // 6).tolist())
    cluster = "c6" if held_out else f"c{key.index % 6}"
    return EpisodeResult(
        key=key,
        is_success=is_success,
        ending="success" if is_success else "time_limit",
        num_steps=steps,
        facts={"cluster": cluster, "level": "hard"},
        verdicts={"execute": steps - 2, "hold": 2},
        num_inferences=len(inferences),
        inference_s=inferences,
    )


def evaluation_of(candidate: str, failing: dict[str, Sequence[int]]) -> Evaluation:
    results = tuple(
        result_of(key, key.index not in failing.get(key.task, ())) for key in SUITE.keys
    )
    settings = {"inference delay [steps]": 1, "control rate [Hz]": 20}
    return Evaluation(candidate, SUITE, settings, results)


def _runtime() -> RuntimeFindings:
    rng = stream("fake runtime")
    spans, now = [], 0.0
    for end, lane in (
        (3.0, "execute"),
        (3.2, "hold"),
        (6.0, "execute"),
        (6.3, "hold"),
        (6.9, "safe"),
        (12.0, "execute"),
    ):
        spans.append(Span(now, end, lane))
        now = end
    edges = 10.0 ** np.arange(-2, 2.01, 0.1)
    jitter, _ = np.histogram(rng.gamma(2, 0.06, 600), edges)
    latency, _ = np.histogram(rng.gamma(30, 0.12, 180) + 18, edges)
    return RuntimeFindings(
        control_rate_hz=50,
        duration_s=12.0,
        is_success=True,
        late_actions=0,
        worker_restarts=1,
        refill_rule="latency 23.4 ms <= g*n/f = 0.5*10/20 Hz = 250 ms",
        verdicts={"execute": 545, "hold": 25, "safe": 30, "too late": 1},
        verdict_roles={
            "execute": "good",
            "hold": "fallback",
            "safe": "fallback",
            "too late": "refused",
        },
        spans=spans,
        faults={"inference stalled": 2.8, "worker killed": 6.0},
        jitter_ms=Histogram(edges.tolist(), jitter.tolist()),
        latency_ms=Histogram(edges.tolist(), latency.tolist()),
        percentiles_ms={
            "tick jitter": {"p50": 0.09, "p99": 0.42, "p99.9": 0.88},
            "inference latency": {"p50": 3.1, "p95": 4.4, "p99": 5.2},
        },
        latency_budget_ms=250,
        checks=(
            CheckRow("late actions executed", True, "0", "0"),
            CheckRow(
                "fallback taken after a stalled inference", True, "hold after 40 ms", "<= 60 ms"
            ),
            CheckRow("killed worker restarted", True, "after 61 ms", "<= 2 s"),
        ),
    )


def build_findings(film: bytes = b"not really a film") -> Findings:
    checkpoint = evaluation_of("checkpoint", FAILING["checkpoint"])
    bundle = evaluation_of("bundle", FAILING["bundle"])
    outcomes = [[r.is_success for r in e.results] for e in (bundle, checkpoint)]
    metrics = []
    for step in range(0, 1501, 25):
        noise = stream("fake loss", step).normal()
        loss = 0.3 * math.exp(-step / 220) + 0.012 * math.exp(0.1 * noise)
        metrics.append(
            (
                step,
                {
                    "train_loss": loss,
                    "validation_loss": 1.15 * loss + 0.002 if step % 100 == 0 else None,
                    "learning_rate": 1e-3 * 0.5 * (1 + math.cos(math.pi * step / 1500)),
                    "steps_per_s": 22 + noise,
                },
            )
        )
    candidates = [
        (f"step {step}", evaluation_of(f"step {step}", {"pick_place-hard": range(failures)}))
        for step, failures in ((900, 31), (1100, 14), (1300, 5), (1500, 6))
    ]
    return Findings(
        title="demo: pick and place, hard",
        subtitle="recipes/demo.toml on 2 cores, seed 7; everything below was measured in this run",
        stages=(
            StageRow(
                "collect",
                "reused",
                None,
                "3f9a1c0d77e2aa",
                "120 episodes, 7,812 steps, 24 recovery",
            ),
            StageRow("check", "ran", 2.1, "9d02b7714cfe01", "14 of 14 checks passed"),
            StageRow(
                "train", "ran", 141.8, "c4410f21e6ab93", "1,500 steps, best candidate at step 1300"
            ),
            StageRow("evaluate", "ran", 44.0, "77b0ee5a109f3c", "400 episodes"),
            StageRow("export", "ran", 38.4, "e01d1f3c52ba08", "vision int8, policy fp32"),
            StageRow("re-evaluate", "ran", 43.1, "0a55c2219db7f4", "400 episodes as it will run"),
            StageRow("run", "ran", 14.7, "b81f30aa6c2e5d", "12 s at 50 Hz, 2 faults injected"),
        ),
        checklist=(
            CheckRow("frozen actions", True, "longest 4 steps", "<= 10 steps"),
            CheckRow("action spikes", True, "largest 0.041 m", "<= 0.10 m"),
            CheckRow("zero-variance dimensions", True, "0", "0"),
            CheckRow("recording rate", True, "20.0 Hz, worst 19.9", "20 Hz +- 2%"),
            CheckRow("dark, blurred or occluded frames", True, "0.3%", "<= 2%"),
            CheckRow("episodes per cluster", True, "20 in the smallest", ">= 10"),
            CheckRow(
                "share of recovery episodes",
                False,
                "12%",
                ">= 15%",
                "record 4 more episodes that start from a failed grasp",
            ),
        ),
        metrics=metrics,
        candidates=candidates,
        evaluations=(checkpoint, bundle),
        comparison=compare(bundle, checkpoint, 0.02),
        sensitivity=(
            SensitivityRow(
                "vision",
                "fp32",
                4e-7,
                207_000,
                0.0019,
                0.0024,
                Rate(396, 400),
                None,
                reason="the reference",
            ),
            SensitivityRow("vision", "fp16", reason="this engine computes in fp32 on a CPU"),
            SensitivityRow(
                "vision",
                "int8",
                0.011,
                79_000,
                0.0012,
                0.0017,
                Rate(395, 400),
                paired_difference(*outcomes),
                is_chosen=True,
                reason="62% smaller, not inferior by 2 points",
            ),
            SensitivityRow(
                "policy",
                "fp32",
                2e-7,
                611_000,
                0.0007,
                0.0009,
                Rate(396, 400),
                None,
                is_chosen=True,
                reason="int8 saves 0.1 ms only",
            ),
            SensitivityRow(
                "policy",
                "int8",
                0.024,
                190_000,
                0.0006,
                0.0009,
                Rate(391, 400),
                paired_difference(outcomes[0], [True] * 400),
                reason="not shown to lose at most 2 points",
            ),
        ),
        runtime=_runtime(),
        films=(
            Film("The shipped bundle, episode pick_place-hard@1/700/0, real time", film),
            Film("The first failure: pick_place-hard@1/700/41", film),
        ),
        replay_command="steady replay runs/demo-3f9a1c --episode {key}",
        notes={
            "machine": "2 x AMD EPYC, 24 GiB, no accelerator",
            "versions": "steadyhand 0.1.0, Python 3.11.7, torch 2.13.0, mujoco 4.0.0",
            "run": "runs/demo-3f9a1c, recipe sha256 3f9a1c0d77e2aa",
        },
    )


SHIFT = np.array((0.0, 1.0, 0.0))  # pixels are not negative


class ReachWorld:
    """A small arm world: bring the end effector to a goal that only the picture shows."""

    task_version = 1
    step_period_s = 0.05
    num_made = 0

    def __init__(self, task: str) -> None:
        self.task = task
        self.num_observed = 0
        self.is_closed = False
        type(self).num_made += 1

    @property
    def observation_specs(self):
        return {
            "observation.state": ArraySpec("observation.state", (12,), "float32"),
            "observation.images.scene": ArraySpec("observation.images.scene", (2, 3, 3), "uint8"),
        }

    @property
    def action_spec(self):
        return ACTION_SPEC

    def reset(self, seed, index):
        rng = stream(self.task, seed, index)
        self.joints = np.array(panda.REST_RAD)
        self.targets = np.array((*panda.REST_RAD, 0.08))
        self.opening_m = 0.08
        self.num_physics_steps = 0
        # Goals on whole centimetres, so that three bytes of a picture show them exactly.
        self.goal = np.round(rng.uniform((0.40, -0.2, 0.15), (0.60, 0.2, 0.35)), 2)
        cluster = "near"
        if rng.random() < 0.25:
            self.goal[0], cluster = 0.75, "far"  # outside the workspace: never reached
        return {"cluster": cluster}

    def read_state(self):
        pose = panda.end_effector_pose(self.joints)
        return np.array((*self.joints, self.opening_m, *pose), np.float32)

    def observe(self):
        self.num_observed += 1
        picture = np.zeros((2, 3, 3), np.uint8)
        picture[0, 0] = np.rint(100 * (self.goal + SHIFT))
        return {"observation.state": self.read_state(), "observation.images.scene": picture}

    def set_targets(self, command):
        self.targets = np.array(command)

    def advance(self, num_physics_steps):
        self.joints += (self.targets[:7] - self.joints) * (1 - 0.98**num_physics_steps)
        self.opening_m = float(self.targets[7])
        self.num_physics_steps += num_physics_steps

    def judge(self):
        gap = np.abs(panda.end_effector_pose(self.joints)[:3] - self.goal).max()
        is_success = bool(gap < 0.015)
        return Step(
            float(is_success),
            terminated=is_success,
            truncated=self.num_physics_steps >= 1000 and not is_success,
            is_success=is_success,
        )

    def step(self, action):
        raise NotImplementedError

    def close(self):
        self.is_closed = True


class ReachPolicy:
    """Goes where the picture says, with noise; remembers how often it decided."""

    action_spec = ACTION_SPEC

    def __init__(self, noise_m):
        self.noise_m = noise_m
        self.state_specs = {"count": ArraySpec("count", (1,), "float32")}

    @property
    def observation_specs(self):
        return ReachWorld("reach").observation_specs

    def initial_state(self):
        return {"count": np.zeros(1, np.float32)}

    def act(self, observation, state, rng):
        goal = observation["observation.images.scene"][0, 0] / 100 - SHIFT
        goal = goal + rng.normal(0, self.noise_m, 3)
        action = np.array((*goal, observation["observation.state"][11], 0), np.float32)
        return ActionChunk(np.tile(action, (10, 1)), 0.05), {"count": state["count"] + 1}


@dataclass(frozen=True)
class ReachSource:
    noise_m: float = 0.004

    def __call__(self):
        return ReachPolicy(self.noise_m)


WORLDS = {}


class ShortPickPlace(PickPlace):
    """The real task, cut after one second."""

    def judge(self):
        step = super().judge()
        return replace(step, truncated=self.elapsed_s > 0.999 and not step.terminated)


def make_shared_world(task):
    """Make a real world that the expert below can look into."""
    WORLDS[task] = make_environment(task)
    return WORLDS[task]


def make_short_world(task):
    WORLDS[task] = ShortPickPlace(task)
    return WORLDS[task]


class ExpertPolicy:
    """The scripted expert as a policy: it sees the simulator's state, so it needs no training."""

    action_spec = ACTION_SPEC

    def __init__(self, task):
        self.task = task
        self.state_specs = {}

    @property
    def observation_specs(self):
        return WORLDS[self.task].observation_specs

    def initial_state(self):
        return {}

    def act(self, observation, state, rng):
        action = decide(WORLDS[self.task].world_state())
        return ActionChunk(np.tile(action, (10, 1)), 0.05), {}


@dataclass(frozen=True)
class ExpertSource:
    task: str = "pick_place-plain"

    def __call__(self):
        return ExpertPolicy(self.task)


TIMING = ChunkTiming(0.05, 10, 0.25, 0.5)
REACH_SUITE = Suite((Condition("reach-a", 1, 5, 12), Condition("reach-b", 1, 6, 8)))


class SerialExecutor:
    num_workers = 1

    def map(self, function, items):
        return map(function, items)

    def close(self):
        pass


class TwoProcesses:
    """Two processes, each with its own caches; units go to whoever is free."""

    num_workers = 2

    def map(self, function, items):
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            yield from pool.map(function, items)

    def close(self):
        pass


EXPERT_KEY = EpisodeKey("pick_place-plain", TASK_VERSION, 31, 2)
