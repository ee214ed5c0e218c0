"""A scripted expert for pick-and-place, and the demonstrations it gives.

The expert is Markov: it decides from the state of the world alone, so it recovers from whatever
disturbed it, and a policy that sees the same state can learn its decisions.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.environment import EpisodeKey
from steadyhand.contracts.episode import Episode, Fact
from steadyhand.contracts.errors import UsageError
from steadyhand.contracts.seeds import stream
from steadyhand.kinematics import panda
from steadyhand.sim.tasks.pick_place import INSTRUCTION, TIME_LIMIT_S, PickPlace, WorldState
from steadyhand.sim.tasks.pick_place_levels import TASK_VERSION, parse_task
from steadyhand.sim.tasks.pick_place_scene import OBJECT_HALF_M

_LEAD_M, _LEAD_RAD = 0.045, 0.2
_HOVER_M, _CARRY_M = 0.13, 0.13
# The lowest points aimed at lie a little below where the fingers close and open: an imitator that
# comes down more slowly or stops a little early then still passes through both.
_AIM_BELOW_M, _ACT_ABOVE_M = 0.006, 0.011
# The funnel over object and target: its height rises with the distance from the axis.
_FUNNEL_RADIUS_M, _FUNNEL_SLOPE = 0.006, 3.0
_FUNNEL_RAD, _FUNNEL_M_PER_RAD = 0.06, 0.15
_GRASP_WITHIN_M, _GRASP_WITHIN_RAD = 0.015, 0.12
_OPEN_M, _HELD_M = 0.065, 2 * OBJECT_HALF_M + 0.006
_EMPTY_M = 2 * OBJECT_HALF_M - 0.008

# Share of the drift that is kept from step to step: half a second in all.
_DRIFT_KEPT = math.exp(-0.05 / 0.5)

_NO_DROP_Y_M = (-0.17, 0.1)

# Where an arm may start from when it does not start at rest: x, y, z [m], yaw [rad].
_START_LOW, _START_HIGH = (0.36, -0.34, 0.09, -0.3), (0.6, 0.26, 0.34, 0.3)


def decide(world: WorldState) -> NDArray[np.float32]:
    """Return the expert's action: x, y, z [m], yaw [rad], grip, a short way ahead of the arm."""
    goal, yaw, grip = _goal(world)
    delta = goal - world.end_effector[:3]
    distance_m = math.sqrt(float(delta @ delta))
    if distance_m > _LEAD_M:
        delta *= _LEAD_M / distance_m
    # The last centimetres down are slow, so that there is time to see and correct.
    height_m = float(world.end_effector[2]) - OBJECT_HALF_M
    delta[2] = max(delta[2], -max(0.02, 0.4 * height_m))
    turn = min(max(yaw - float(world.end_effector[3]), -_LEAD_RAD), _LEAD_RAD)
    position = world.end_effector[:3] + delta
    return np.array((*position, world.end_effector[3] + turn, grip), dtype=np.float32)


def _goal(world: WorldState) -> tuple[NDArray[np.float64], float, float]:
    """Return where the tool should be in the end, its yaw and the grip."""
    tool = world.end_effector[:3]
    is_held = world.num_pads_touching == 2 and world.opening_m < _HELD_M
    to_target_m = math.dist(world.object_position[:2], world.target_position)
    is_down = float(world.object_position[2]) < OBJECT_HALF_M + 0.015
    if is_held:
        return _carry(world, to_target_m)
    if to_target_m < 0.03 and is_down:
        return np.array((tool[0], tool[1], _CARRY_M)), float(world.end_effector[3]), 0.0
    return _reach(world)


def _funnel(distance_m: float, turn_rad: float) -> float:
    """Return how high above the lowest point the tool belongs, this far from the axis."""
    rise = _FUNNEL_SLOPE * max(0.0, distance_m - _FUNNEL_RADIUS_M)
    return rise + _FUNNEL_M_PER_RAD * max(0.0, turn_rad - _FUNNEL_RAD)


def _carry(world: WorldState, to_target_m: float) -> tuple[NDArray[np.float64], float, float]:
    """Lift, bring the held object over the target, lower it, let go."""
    x, y, z = world.end_effector[:3].tolist()
    hang_m = z - float(world.object_position[2])
    gap = world.target_position - world.object_position[:2]
    # Sideways only as high as the object clears the bin's wall; around the target there is none.
    clear = min(max((z - 0.05) / 0.06, 0.0), 1.0)
    share = max(clear, min(max((0.1 - to_target_m) / 0.03, 0.0), 1.0))
    lowest = OBJECT_HALF_M + hang_m - _AIM_BELOW_M
    height = min(lowest + _funnel(to_target_m, 0.0), _CARRY_M)
    is_down = z - hang_m < OBJECT_HALF_M + _ACT_ABOVE_M and to_target_m < 0.02
    return np.array((x + share * gap[0], y + share * gap[1], height)), 0.0, float(not is_down)


def _reach(world: WorldState) -> tuple[NDArray[np.float64], float, float]:
    """Go over the object, turn with it, descend inside the funnel and close."""
    x, y, z = world.end_effector[:3].tolist()
    yaw = world.object_yaw_rad
    gap = world.object_position[:2] - world.end_effector[:2]
    gap_m, turn = math.hypot(*gap), abs(yaw - float(world.end_effector[3]))
    grasp_z = max(float(world.object_position[2]), OBJECT_HALF_M)
    is_around = gap_m < _GRASP_WITHIN_M and turn < _GRASP_WITHIN_RAD and z < grasp_z + 0.02
    if is_around and world.opening_m > _EMPTY_M:
        is_there = z < grasp_z + _ACT_ABOVE_M
        lowest = grasp_z - _AIM_BELOW_M
        return np.array((x + gap[0], y + gap[1], lowest)), yaw, float(is_there)
    rise = min(_funnel(gap_m, turn), _HOVER_M)
    if world.opening_m < _OPEN_M:
        rise = max(rise, 0.06)
    # Below the funnel, go up before going sideways.
    share = min(max((z - grasp_z - rise + 0.045) / 0.03, 0.0), 1.0)
    return np.array((x + share * gap[0], y + share * gap[1], grasp_z + rise)), yaw, 0.0


@dataclass(frozen=True, slots=True)
class DemonstrationConfig:
    """How demonstrations are given.

    Args:
        task: Catalog name of the task.
        seed: Family of episodes.
        image_size: Height and width of the pictures [pixels].
        random_start_share: Share of episodes that start from a random arm pose.
        noise_share: Share of episodes with noise on what is executed.
        noise_position_m: Standard deviation per axis, of each step anew.
        noise_yaw_rad: Standard deviation.
        drift_m: Standard deviation per axis of noise that lasts about half a second, in the same
            episodes: it leads the arm aside, and the labels lead it back.
        recovery_share: Share of episodes with one or two mishaps to recover from.
        slip_share: Share of the mishaps in which the gripper does the opposite of what it should,
            so that it misses or drops the object; the others are pushes.
        push_m: Length of a push.
    """

    task: str
    seed: int = 0
    image_size: int = 64
    random_start_share: float = 0.35
    noise_share: float = 0.7
    noise_position_m: float = 0.004
    noise_yaw_rad: float = 0.02
    drift_m: float = 0.008
    recovery_share: float = 0.4
    slip_share: float = 0.3
    push_m: float = 0.035

    def __post_init__(self) -> None:
        parse_task(self.task)
        for name, share in (
            ("random_start_share", self.random_start_share),
            ("noise_share", self.noise_share),
            ("recovery_share", self.recovery_share),
            ("slip_share", self.slip_share),
        ):
            if not 0 <= share <= 1:
                raise UsageError(f"{name} must be between 0 and 1, got {share!r}")


@dataclass(frozen=True, slots=True)
class _Disturbance:
    """What is added to the executed actions of one episode.

    Args:
        offsets: float32 (steps, 5).
        is_slip: bool (steps,): the gripper does the opposite.
        is_mishap: bool (steps,): a push or a slip lasts.
    """

    offsets: NDArray[np.float32]
    is_slip: NDArray[np.bool_]
    is_mishap: NDArray[np.bool_]

    def apply(
        self, action: NDArray[np.float32], row: int, world: WorldState
    ) -> tuple[NDArray[np.float32], bool]:
        """Return what is executed instead of an action, and whether it is a mishap."""
        executed: NDArray[np.float32] = action + self.offsets[row]
        if not self.is_slip[row]:
            return executed, bool(self.is_mishap[row])
        # Dropped close to the wall between bin and target, the object could not be grasped again.
        is_held = world.num_pads_touching == 2
        if is_held and _NO_DROP_Y_M[0] < world.object_position[1] < _NO_DROP_Y_M[1]:
            return executed, False
        executed[4] = 1.0 - executed[4]
        return executed, True


def demonstrate(config: DemonstrationConfig, index: int) -> Episode:
    """Record one demonstration; (config, index) decide every byte of it.

    ``action`` holds the expert's clean decision for the state of its row, whatever was executed.
    ``is_label`` is False while a push or a slip lasts: a chunk must not be imitated from its first
    False row on, because nobody can foresee a mishap.

    Args:
        config: How to demonstrate.
        index: Number of the episode within the family.

    Returns:
        The episode; ``facts["outcome"]`` says whether the expert succeeded.

    Raises:
        UnknownNameError: If the task is none of this family.
        RenderingError: If this machine has no OpenGL.
    """
    environment = _environment(config.task, config.image_size)
    key = EpisodeKey(config.task, TASK_VERSION, config.seed, index)
    chance = stream(*_path(key), "demonstration")
    facts: dict[str, Fact] = dict(_reset(environment, config, key, chance))
    disturbance = _draw_disturbance(config, environment, chance)
    columns: dict[str, list[Any]] = {
        name: [] for name in ("observation.state", "action", "captured_at_s", "is_label", "reward")
    }
    images: dict[str, list[NDArray[np.uint8]]] = {}
    for row in range(len(disturbance.is_mishap)):
        observation = environment.observe()
        world = environment.world_state()
        action = decide(world)
        executed, is_mishap = disturbance.apply(action, row, world)
        columns["observation.state"].append(observation.pop("observation.state"))
        for name, image in observation.items():
            images.setdefault(name, []).append(image)
        columns["action"].append(action)
        columns["captured_at_s"].append(environment.elapsed_s)
        columns["is_label"].append(not is_mishap)
        step = environment.step(executed)
        columns["reward"].append(step.reward)
        if step.is_last:
            break
    facts["outcome"] = "success" if step.is_success else "fail"
    facts["is_recovery"] = not all(columns["is_label"])
    facts["has_noise"] = bool(np.abs(disturbance.offsets[~disturbance.is_mishap]).max() > 0)
    return Episode(
        key=key,
        instruction=INSTRUCTION,
        facts=facts,
        columns={
            "observation.state": np.stack(columns["observation.state"]),
            "action": np.stack(columns["action"]),
            "captured_at_s": np.array(columns["captured_at_s"], np.float64),
            "is_label": np.array(columns["is_label"], np.bool_),
            "reward": np.array(columns["reward"], np.float32),
        },
        images={name: np.stack(frames) for name, frames in images.items()},
    )


@lru_cache(maxsize=2)
def _environment(task: str, image_size: int) -> PickPlace:
    """Return this process's environment: a reset leaves nothing of the episode before."""
    return PickPlace(task, image_size=image_size)


def _path(key: EpisodeKey) -> tuple[str, int, int, int]:
    return key.task, key.task_version, key.seed, key.index


def _reset(
    environment: PickPlace, config: DemonstrationConfig, key: EpisodeKey, rng: np.random.Generator
) -> dict[str, Fact]:
    """Start the episode at rest, or at a random arm pose with a random gripper opening."""
    is_random = rng.random() < config.random_start_share
    pose = rng.uniform(_START_LOW, _START_HIGH)
    opening_m = float(rng.choice((0.0, panda.GRIPPER_HIGH_M)))
    if not is_random:
        return dict(environment.reset(key.seed, key.index))
    joints = panda.inverse(pose, np.array(panda.REST_RAD), max_iterations=50)
    return dict(environment.reset(key.seed, key.index, joints=joints, opening_m=opening_m))


def _draw_disturbance(
    config: DemonstrationConfig, environment: PickPlace, rng: np.random.Generator
) -> _Disturbance:
    """Draw noise and pushes for the longest possible episode, in a fixed order of draws."""
    num_steps = round(TIME_LIMIT_S / environment.step_period_s)
    has_noise, has_mishap = rng.random(2) < (config.noise_share, config.recovery_share)
    noise = rng.standard_normal((num_steps, 4)) * (
        *(3 * (config.noise_position_m,)),
        config.noise_yaw_rad,
    )
    offsets = np.zeros((num_steps, 5), np.float32)
    drift = config.drift_m * rng.standard_normal((num_steps, 3))
    for row in range(1, num_steps):
        drift[row] = _DRIFT_KEPT * drift[row - 1] + math.sqrt(1 - _DRIFT_KEPT**2) * drift[row]
    if has_noise:
        offsets[:, :4] = noise
        offsets[:, :3] += drift
    is_slip, is_mishap = np.zeros(num_steps, np.bool_), np.zeros(num_steps, np.bool_)
    for first in rng.integers(5, 60, int(rng.integers(1, 3))):
        direction = rng.standard_normal(3) * (1.0, 1.0, 0.5)
        direction[2] = abs(direction[2])
        rows = slice(int(first), int(first) + int(rng.integers(3, 7)))
        slips = rng.random() < config.slip_share
        if has_mishap:
            is_mishap[rows] = True
            is_slip[rows] = slips
            push = config.push_m * direction / np.linalg.norm(direction)
            offsets[rows, :3] += 0.0 if slips else push
    return _Disturbance(offsets, is_slip, is_mishap)
