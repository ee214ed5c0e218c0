"""What one row of a dataset holds: vectors, labels and camera frames, with their specs.

Knows names, shapes and the LeRobot description of a feature; knows nothing about files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steadyhand.contracts.environment import EpisodeKey
from steadyhand.contracts.episode import Episode, Fact
from steadyhand.contracts.errors import DatasetError, SpecError
from steadyhand.contracts.specs import ArraySpec, Specs

STATE = "observation.state"
ACTION = "action"
CAPTURED_AT = "captured_at_s"
IS_LABEL = "is_label"
REWARD = "reward"
CAMERA_PREFIX = "observation.images."
INDEX_COLUMNS = ("timestamp", "frame_index", "episode_index", "index", "task_index")
OUTCOMES = ("success", "fail")

STANDARD_COLUMNS = (
    ArraySpec(CAPTURED_AT, (), "float64", unit="s"),
    ArraySpec(IS_LABEL, (), "bool"),
    ArraySpec(REWARD, (), "float32"),
)


@dataclass(frozen=True, slots=True)
class DatasetFeatures:
    """The columns and cameras of a dataset; equal for every episode in it.

    Args:
        fps: Rows per second [Hz].
        robot_type: Robot the rows come from, e.g. ``panda``.
        vectors: Specs of the vector columns: ``observation.state``, ``action`` and any others.
        cameras: Specs of the cameras, uint8 (height, width, 3), names ``observation.images.*``.
    """

    fps: int
    robot_type: str
    vectors: tuple[ArraySpec, ...]
    cameras: tuple[ArraySpec, ...]

    def __post_init__(self) -> None:
        if self.fps <= 0:
            raise DatasetError(f"fps must be positive, got {self.fps}")
        names = [spec.name for spec in (*self.columns, *self.cameras)]
        reserved = [n for n in names if names.count(n) > 1 or n in INDEX_COLUMNS or "/" in n]
        if reserved:
            raise DatasetError(f"feature names {sorted(set(reserved))} are taken or hold a '/'")
        if not {STATE, ACTION} <= set(names):
            raise DatasetError(f"a dataset needs {STATE!r} and {ACTION!r}, got {names}")
        for spec in self.vectors:
            if len(spec.shape) != 1:
                raise DatasetError(f"{spec.name!r}: columns are vectors, got shape {spec.shape}")
        for spec in self.cameras:
            is_image = len(spec.shape) == 3 and spec.shape[2] == 3 and spec.dtype == "uint8"
            if not is_image or not spec.name.startswith(CAMERA_PREFIX):
                raise DatasetError(
                    f"camera {spec.name!r} must be {CAMERA_PREFIX}* with uint8 (height, width, 3), "
                    f"got {spec.dtype}{list(spec.shape)}"
                )

    @property
    def columns(self) -> tuple[ArraySpec, ...]:
        """All columns of a row that are not frames, in file order."""
        return (*self.vectors, *STANDARD_COLUMNS)

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Names of the cameras, in file order."""
        return tuple(spec.name for spec in self.cameras)

    @property
    def state(self) -> ArraySpec:
        """Spec of ``observation.state``."""
        return next(spec for spec in self.vectors if spec.name == STATE)

    @property
    def action(self) -> ArraySpec:
        """Spec of ``action``."""
        return next(spec for spec in self.vectors if spec.name == ACTION)

    def validate(self, episode: Episode) -> None:
        """Check an episode against these features and the facts every trial states.

        Raises:
            SpecError: On missing or surplus columns, a wrong shape or dtype, or a value that is
                not finite or out of range; the message names the episode, the column and the row.
            DatasetError: On missing facts, or capture times that do not increase.
        """
        expected = {spec.name: spec for spec in (*self.columns, *self.cameras)}
        given: dict[str, Any] = {**episode.columns, **episode.images}
        if set(expected) != set(given):
            raise SpecError(
                f"episode {episode.key}: missing {sorted(set(expected) - set(given))}, "
                f"unexpected {sorted(set(given) - set(expected))}"
            )
        for name, spec in expected.items():
            rows = ArraySpec(
                f"{name} of episode {episode.key} [row, ...]",
                (episode.num_steps, *spec.shape),
                spec.dtype,
                spec.low,
                spec.high,
            )
            rows.validate(given[name])
        times = episode.columns[CAPTURED_AT]
        if (times[1:] <= times[:-1]).any():
            row = int((times[1:] <= times[:-1]).argmax()) + 1
            raise DatasetError(
                f"episode {episode.key}: {CAPTURED_AT} does not increase at row {row} "
                f"({times[row - 1]:.6f} -> {times[row]:.6f} s); record each capture once"
            )
        check_facts(episode.key, episode.facts)

    def to_json(self) -> dict[str, Any]:
        """Return the features as plain JSON values."""
        return {
            "fps": self.fps,
            "robot_type": self.robot_type,
            "vectors": [spec.to_json() for spec in self.vectors],
            "cameras": [spec.to_json() for spec in self.cameras],
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "DatasetFeatures":
        """Read features written by :meth:`to_json`."""
        return DatasetFeatures(
            fps=value["fps"],
            robot_type=value["robot_type"],
            vectors=tuple(ArraySpec.from_json(v) for v in value["vectors"]),
            cameras=tuple(ArraySpec.from_json(v) for v in value["cameras"]),
        )


def features_from_specs(
    observation_specs: Specs, action_spec: ArraySpec, step_period_s: float, robot_type: str
) -> DatasetFeatures:
    """Derive the features of a dataset from what an environment or a robot declares.

    Args:
        observation_specs: Specs of its observations; ``observation.images.*`` are cameras.
        action_spec: Spec of its action.
        step_period_s: Time between rows [s]; must be a whole number of rows per second.
        robot_type: Robot name, e.g. ``panda``.

    Raises:
        DatasetError: If the rate is not a whole number of hertz, which LeRobot v3.0 cannot state.
    """
    fps = round(1 / step_period_s)
    if abs(fps * step_period_s - 1) > 1e-6:
        raise DatasetError(f"a period of {step_period_s} s is no whole number of rows per second")
    cameras = [s for name, s in observation_specs.items() if name.startswith(CAMERA_PREFIX)]
    others = [s for name, s in observation_specs.items() if not name.startswith(CAMERA_PREFIX)]
    action = ArraySpec(
        ACTION,
        action_spec.shape,
        action_spec.dtype,
        action_spec.low,
        action_spec.high,
        action_spec.unit,
        action_spec.names,
    )
    return DatasetFeatures(fps, robot_type, (*others, action), tuple(cameras))


def check_facts(key: EpisodeKey, facts: Mapping[str, Fact]) -> None:
    """Check that a trial states its outcome, cluster and whether it is a recovery.

    Raises:
        DatasetError: On a missing fact or one that is no plain finite value.
    """
    for name, value in facts.items():
        is_plain = type(value) in {bool, int, str, float}
        if not is_plain or (isinstance(value, float) and not abs(value) < float("inf")):
            raise DatasetError(
                f"episode {key}: fact {name!r} must be a finite float, int, str or bool, "
                f"got {value!r} ({type(value).__name__})"
            )
    if facts.get("outcome") not in OUTCOMES:
        raise DatasetError(
            f"episode {key}: fact 'outcome' must be one of {OUTCOMES}, got {facts.get('outcome')!r}"
        )
    if not isinstance(facts.get("cluster"), str) or not isinstance(facts.get("is_recovery"), bool):
        raise DatasetError(
            f"episode {key}: facts need 'cluster' (str) and 'is_recovery' (bool), got {dict(facts)}"
        )
