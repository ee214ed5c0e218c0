"""How an episode of pick-and-place begins: clusters, levels, and the layout drawn from a key.

Every number of an episode's start is drawn here, from streams named by (task, version, seed,
index, purpose). It knows no simulator.
"""

import colorsys
import math
from dataclasses import dataclass

import numpy as np

from steadyhand.contracts.environment import EpisodeKey
from steadyhand.contracts.errors import UnknownNameError
from steadyhand.contracts.seeds import stream

TASK_VERSION = 1
HELD_OUT_CLUSTER = "c6"
CLUSTER_EDGE_M = 0.1

# Lower corner (x, y) [m] of each 10x10 cm square of start positions; c4..c6 is the far row.
CLUSTERS = {
    "c1": (0.40, -0.36),
    "c2": (0.40, -0.26),
    "c3": (0.40, -0.16),
    "c4": (0.50, -0.36),
    "c5": (0.50, -0.26),
    "c6": (0.50, -0.16),
}

_OBJECT_HUE, _DISTRACTOR_HUE, _TARGET_HUE = 0.0, 0.61, 0.33
_OBJECT_YAW_RAD = 0.35
_DISTRACTOR_GAP_M = 0.1

Range = tuple[float, float]
Colour = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Level:
    """What varies between episodes, and how much.

    Args:
        target_x_m: Range of the target's start; equal ends fix it.
        target_y_m: Likewise.
        target_speed_m_s: Largest drift speed of the target.
        has_moving_distractor: Whether the distractor lies in the bin, anywhere but at the object;
            otherwise it stands still at the edge of the table.
        light: Range of the lamp's brightness.
        ambient: Range of the ambient brightness.
        light_tilt_rad: Range of the lamp's angle from the vertical.
        light_tint: Largest relative deviation of a colour channel of the lamp.
        hue_spread: Largest deviation of a coloured thing's hue (1 is the whole circle).
        value: Range of a coloured thing's brightness.
        surface: Range of the grey of table and bin.
        camera_shift_m: Largest shift of the scene camera along each axis.
        camera_turn_rad: Largest turn of the scene camera about each axis; the wrist camera gets a
            third of both.
    """

    target_x_m: Range
    target_y_m: Range
    target_speed_m_s: float
    has_moving_distractor: bool
    light: Range
    ambient: Range
    light_tilt_rad: Range
    light_tint: float
    hue_spread: float
    value: Range
    surface: Range
    camera_shift_m: float
    camera_turn_rad: float


LEVELS = {
    "plain": Level(
        target_x_m=(0.5, 0.5),
        target_y_m=(0.2, 0.2),
        target_speed_m_s=0.0,
        has_moving_distractor=False,
        light=(0.6, 0.6),
        ambient=(0.35, 0.35),
        light_tilt_rad=(0.2, 0.2),
        light_tint=0.0,
        hue_spread=0.0,
        value=(0.85, 0.85),
        surface=(0.6, 0.6),
        camera_shift_m=0.0,
        camera_turn_rad=0.0,
    ),
    "hard": Level(
        target_x_m=(0.4, 0.6),
        target_y_m=(0.15, 0.26),
        target_speed_m_s=0.01,
        has_moving_distractor=True,
        light=(0.45, 0.75),
        ambient=(0.28, 0.42),
        light_tilt_rad=(0.0, 0.4),
        light_tint=0.08,
        hue_spread=0.03,
        value=(0.7, 1.0),
        surface=(0.5, 0.7),
        camera_shift_m=0.01,
        camera_turn_rad=0.012,
    ),
    "shifted": Level(
        target_x_m=(0.4, 0.6),
        target_y_m=(0.15, 0.26),
        target_speed_m_s=0.01,
        has_moving_distractor=True,
        light=(0.3, 0.95),
        ambient=(0.2, 0.5),
        light_tilt_rad=(0.4, 0.8),
        light_tint=0.2,
        hue_spread=0.05,
        value=(0.55, 1.0),
        surface=(0.35, 0.8),
        camera_shift_m=0.02,
        camera_turn_rad=0.025,
    ),
}


@dataclass(frozen=True, slots=True)
class TaskName:
    """A task's catalog name taken apart, e.g. ``pick_place-hard-held_out``.

    Args:
        level: Key of ``LEVELS``.
        is_held_out: Whether the object starts in the held-out cluster only.
    """

    level: str
    is_held_out: bool

    def __str__(self) -> str:
        return f"pick_place-{self.level}" + ("-held_out" if self.is_held_out else "")

    @property
    def clusters(self) -> tuple[str, ...]:
        """Names of the clusters the object may start in."""
        if self.is_held_out:
            return (HELD_OUT_CLUSTER,)
        return tuple(name for name in CLUSTERS if name != HELD_OUT_CLUSTER)


TASK_NAMES = {
    str(name): name
    for name in (TaskName(level, held) for held in (False, True) for level in LEVELS)
}


def parse_task(task: str) -> TaskName:
    """Take a catalog name apart.

    Raises:
        UnknownNameError: If it is none of this family.
    """
    if task not in TASK_NAMES:
        raise UnknownNameError("task", task, TASK_NAMES)
    return TASK_NAMES[task]


@dataclass(frozen=True, slots=True)
class Layout:
    """How one episode begins. Positions [m] and yaws [rad] in the arm's base frame.

    Args:
        cluster: Name of the object's cluster.
        object_pose: x, y, yaw.
        distractor_pose: x, y, yaw.
        target_position: x, y.
        target_velocity_m_s: x, y.
        object_colour: RGB.
        distractor_colour: RGB.
        target_colour: RGB.
        table_colour: RGB.
        bin_colour: RGB.
        light_colour: RGB.
        ambient_colour: RGB.
        light_direction: Unit vector the lamp shines along.
        scene_camera_shift_m: x, y, z.
        scene_camera_turn_rad: Rotation vector.
        wrist_camera_shift_m: x, y, z.
        wrist_camera_turn_rad: Rotation vector.
    """

    cluster: str
    object_pose: Colour
    distractor_pose: Colour
    target_position: Range
    target_velocity_m_s: Range
    object_colour: Colour
    distractor_colour: Colour
    target_colour: Colour
    table_colour: Colour
    bin_colour: Colour
    light_colour: Colour
    ambient_colour: Colour
    light_direction: Colour
    scene_camera_shift_m: Colour
    scene_camera_turn_rad: Colour
    wrist_camera_shift_m: Colour
    wrist_camera_turn_rad: Colour


def draw_layout(key: EpisodeKey) -> Layout:
    """Draw the start of an episode from its key alone.

    Raises:
        UnknownNameError: If the key's task is none of this family.
    """
    name = parse_task(key.task)
    level = LEVELS[name.level]
    path = (key.task, key.task_version, key.seed, key.index)
    places = stream(*path, "object")
    clusters = name.clusters
    cluster = clusters[int(places.integers(len(clusters)))]
    x, y = _point_in(places, cluster)
    yaw = float(places.uniform(-_OBJECT_YAW_RAD, _OBJECT_YAW_RAD))
    moves = stream(*path, "target")
    target = (float(moves.uniform(*level.target_x_m)), float(moves.uniform(*level.target_y_m)))
    speed, heading = moves.uniform(0, level.target_speed_m_s), moves.uniform(0, 2 * math.pi)
    looks = stream(*path, "appearance")
    tilt, azimuth = looks.uniform(*level.light_tilt_rad), looks.uniform(0, 2 * math.pi)
    if level.light_tilt_rad[0] == level.light_tilt_rad[1]:
        azimuth = 0.0
    tint = 1 + looks.uniform(-level.light_tint, level.light_tint, 3)
    shift, turn = level.camera_shift_m, level.camera_turn_rad
    return Layout(
        cluster=cluster,
        object_pose=(x, y, yaw),
        distractor_pose=_distractor(level, (x, y), stream(*path, "distractor")),
        target_position=target,
        target_velocity_m_s=(float(speed * math.cos(heading)), float(speed * math.sin(heading))),
        object_colour=_colour(looks, _OBJECT_HUE, level),
        distractor_colour=_colour(looks, _DISTRACTOR_HUE, level),
        target_colour=_colour(looks, _TARGET_HUE, level),
        table_colour=_grey(looks, level, warmth=0.06),
        bin_colour=_grey(looks, level, warmth=-0.03, darker=0.2),
        light_colour=_triple(np.clip(looks.uniform(*level.light) * tint, 0, 1)),
        ambient_colour=_triple(np.clip(looks.uniform(*level.ambient) * tint, 0, 1)),
        light_direction=(
            math.sin(tilt) * math.cos(azimuth),
            math.sin(tilt) * math.sin(azimuth),
            -math.cos(tilt),
        ),
        scene_camera_shift_m=_triple(looks.uniform(-shift, shift, 3)),
        scene_camera_turn_rad=_triple(looks.uniform(-turn, turn, 3)),
        wrist_camera_shift_m=_triple(looks.uniform(-shift, shift, 3) / 3),
        wrist_camera_turn_rad=_triple(looks.uniform(-turn, turn, 3) / 3),
    )


def _triple(values: np.ndarray) -> Colour:
    x, y, z = values.tolist()
    return x, y, z


def _point_in(rng: np.random.Generator, cluster: str) -> Range:
    low = CLUSTERS[cluster]
    x, y = (np.array(low) + rng.uniform(0, CLUSTER_EDGE_M, 2)).tolist()
    return x, y


def _distractor(level: Level, taken: Range, rng: np.random.Generator) -> Colour:
    """Place the distractor where the open fingers around the object cannot touch it."""
    if not level.has_moving_distractor:
        return (0.62, 0.36, 0.0)
    while True:
        x, y = _point_in(rng, f"c{int(rng.integers(1, len(CLUSTERS) + 1))}")
        yaw = float(rng.uniform(-_OBJECT_YAW_RAD, _OBJECT_YAW_RAD))
        if math.hypot(x - taken[0], y - taken[1]) >= _DISTRACTOR_GAP_M:
            return (x, y, yaw)


def _colour(rng: np.random.Generator, hue: float, level: Level) -> Colour:
    """Draw a saturated colour of one family; the families never meet at any level."""
    spread = level.hue_spread
    saturation = 0.85 if spread == 0 else rng.uniform(0.75, 1.0)
    drawn = (hue + rng.uniform(-spread, spread)) % 1.0
    return colorsys.hsv_to_rgb(drawn, saturation, rng.uniform(*level.value))


def _grey(rng: np.random.Generator, level: Level, warmth: float, darker: float = 0.0) -> Colour:
    grey = float(rng.uniform(*level.surface)) - darker
    return grey + warmth, grey, grey - warmth
