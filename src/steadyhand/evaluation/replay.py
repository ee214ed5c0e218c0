"""One episode again, as a video: the same loop, the same result, filmed.

Filming looks at the world and changes nothing, so a replay ends exactly as the evaluation did.
Films are VP9 with 4:2:0 colour because browsers play that; datasets are encoded elsewhere, for
fidelity instead.
"""

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from steadyhand.contracts.environment import EpisodeKey
from steadyhand.contracts.errors import DataError, UsageError
from steadyhand.evaluation.closed_loop import ClosedLoopEpisode
from steadyhand.evaluation.environment_robot import JointEnvironment
from steadyhand.evaluation.results import EpisodeResult
from steadyhand.runtime.loop import TickReport, Verdict
from steadyhand.sim.film import FilmCamera
from steadyhand.sim.tasks.pick_place import PickPlace
from steadyhand.store.atomic import write_file

Frame = NDArray[np.uint8]

_PIXEL_FORMAT = "yuv420p"
_OPTIONS = {"crf": "32", "b": "0", "deadline": "realtime", "cpu-used": "6", "g": "50"}
_FILM_RATE_HZ = 16  # a picture costs more than all the physics between two
_LAST_SHOWN_S = 0.7
_STRIP_HEIGHT = 6
_STRIP_COLORS = {Verdict.EXECUTED: (15, 157, 88), Verdict.STOPPED: (220, 38, 38)}
_FALLBACK_COLOR = (217, 119, 6)


def replay(key: EpisodeKey, episode: ClosedLoopEpisode, path: Path) -> EpisodeResult:
    """Run an episode and write its film.

    Args:
        key: Name of the episode, e.g. of a failure in a report.
        episode: Policy and settings it was evaluated with.
        path: The mp4 to write, all of it or nothing.

    Returns:
        The result, equal to the one the evaluation had.

    Raises:
        UsageError: If the task cannot be filmed.
        RenderingError: If this machine has no OpenGL.
        StorageError: If the film cannot be written.
    """
    mp4, result = film(key, episode)
    write_file(path, mp4)
    return result


def film(key: EpisodeKey, episode: ClosedLoopEpisode) -> tuple[bytes, EpisodeResult]:
    """Run an episode and return its film as mp4 bytes, with the result.

    The scene is left, the wrist camera right; the strip below is green while the policy acts,
    orange during a fallback and red once the robot is stopped.
    """
    rate_hz = episode.runtime.control_rate_hz
    stride = max(1, round(rate_hz / _FILM_RATE_HZ))
    film_rate_hz = Fraction(rate_hz).limit_denominator(1000) / stride
    frames: list[Frame] = []
    cameras: list[FilmCamera] = []
    ticks = 0

    def watch(world: JointEnvironment, report: TickReport) -> None:
        nonlocal ticks
        if not cameras:
            cameras.append(_camera(world))
        if ticks % stride == 0:
            frames.append(_with_strip(cameras[0].shoot(), report.verdict))
        ticks += 1

    try:
        result = episode.run(key, watch)
        frames += [frames[-1]] * round(_LAST_SHOWN_S * film_rate_hz)
    finally:
        for camera in cameras:
            camera.close()
    return encode_film(frames, film_rate_hz), result


def encode_film(frames: Sequence[Frame], rate_hz: Fraction) -> bytes:
    """Encode frames as an mp4 that browsers play; equal frames give equal bytes.

    Args:
        frames: uint8 (height, width, 3) each, RGB, with even sizes.
        rate_hz: Frames per second.

    Raises:
        DataError: If there are no frames, or a size is odd.
    """
    if not frames or frames[0].shape[0] % 2 or frames[0].shape[1] % 2:
        shape = frames[0].shape if frames else None
        raise DataError(f"a film needs frames of even height and width, got {shape}")
    buffer, reformatter = io.BytesIO(), VideoReformatter()
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libvpx-vp9", rate=rate_hz, options=dict(_OPTIONS))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = _PIXEL_FORMAT
        stream.codec_context.thread_count = 1
        for frame in frames:
            image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(reformatter.reformat(image, format=_PIXEL_FORMAT)))
        container.mux(stream.encode())
    return buffer.getvalue()


def _camera(world: JointEnvironment) -> FilmCamera:
    if not isinstance(world, PickPlace):
        raise UsageError(f"task {world.task!r} cannot be filmed; only pick_place tasks can")
    return FilmCamera(world)


def _with_strip(frame: Frame, verdict: Verdict) -> Frame:
    strip = np.empty((_STRIP_HEIGHT, frame.shape[1], 3), np.uint8)
    strip[:] = _STRIP_COLORS.get(verdict, _FALLBACK_COLOR)
    return np.concatenate((frame, strip))
