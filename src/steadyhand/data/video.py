"""Frames to mp4 bytes and back, addressed by frame index.

VP9 with full chroma (yuv444p), a key frame every second frame as LeRobot writes them, one thread,
no clock and no random numbers: equal frames give equal bytes. AV1 through libsvtav1, LeRobot's
default, keeps a quarter of the colour samples (4:2:0 only) and stays below 36 dB on 64x64 frames
whatever its quality setting; x264 is GPL. The measurements are in ``docs/formats/dataset.md``.
"""

import io
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from steadyhand.contracts.errors import DatasetError

CODEC_NAME = "vp9"
PIXEL_FORMAT = "yuv444p"
KEY_FRAME_DISTANCE = 2
OPTIONS = {
    "g": str(KEY_FRAME_DISTANCE),
    "crf": "10",
    "b": "0",
    "deadline": "realtime",
    "cpu-used": "8",
    "lag-in-frames": "0",
    "auto-alt-ref": "0",
}

Frames = NDArray[np.uint8]


def encode_video(frames: Frames, fps: int) -> bytes:
    """Encode frames as one mp4.

    Args:
        frames: uint8 (T, height, width, 3), RGB.
        fps: Frames per second [Hz]; frame ``i`` is shown at ``i / fps`` seconds.

    Returns:
        The file; the same bytes for the same frames, in any process.
    """
    buffer = io.BytesIO()
    reformatter = VideoReformatter()
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libvpx-vp9", rate=fps, options=dict(OPTIONS))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = PIXEL_FORMAT
        stream.codec_context.thread_count = 1
        for frame in frames:
            image = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(reformatter.reformat(image, format=PIXEL_FORMAT)))
        container.mux(stream.encode())
    return buffer.getvalue()


def decode_video(source: Path | bytes, where: str) -> Frames:
    """Decode every frame, in order.

    Args:
        source: An mp4 file or its bytes.
        where: Name used in messages, e.g. the path and the episode.

    Returns:
        uint8 (T, height, width, 3), RGB; row ``i`` is frame ``i``.

    Raises:
        DatasetError: If it is no readable video.
    """
    try:
        with av.open(_readable(source), "r", format="mp4") as container:
            frames = list(_rgb(container.decode(_single_threaded(container))))
    except (av.error.FFmpegError, IndexError, OSError) as error:
        raise DatasetError(f"{where}: the video cannot be decoded ({error})") from error
    if not frames:
        raise DatasetError(f"{where}: the video holds no frames")
    return np.stack(frames)


def decode_frames(source: Path | bytes, indices: Sequence[int], where: str) -> Frames:
    """Decode chosen frames without decoding the rest: each costs at most two frames.

    Args:
        source: An mp4 file or its bytes, as written by :func:`encode_video`.
        indices: Frame numbers from 0.
        where: Name used in messages.

    Returns:
        uint8 (len(indices), height, width, 3), equal to ``decode_video(source)[indices]``.

    Raises:
        DatasetError: If the video is unreadable or has no such frame.
    """
    chosen: list[Frames] = []
    try:
        with av.open(_readable(source), "r", format="mp4") as container:
            stream = _single_threaded(container)
            ticks = _ticks_per_frame(stream)
            for index in indices:
                if not 0 <= index < stream.frames:
                    raise DatasetError(f"{where}: no frame {index}; it has {stream.frames}")
                container.seek(round(index * ticks), stream=stream)
                exact = (f for f in container.decode(stream) if round(f.pts / ticks) == index)
                chosen.extend(_rgb([next(exact)]))
    except (av.error.FFmpegError, IndexError, OSError, StopIteration) as error:
        raise DatasetError(f"{where}: the video cannot be decoded ({error})") from error
    return np.stack(chosen)


def count_frames(source: Path | bytes, where: str) -> int:
    """Count the packets of an mp4 by reading each of them; one packet is one frame.

    Raises:
        DatasetError: If it is no readable video.
    """
    try:
        with av.open(_readable(source), "r", format="mp4") as container:
            return sum(1 for packet in container.demux(container.streams.video[0]) if packet.size)
    except (av.error.FFmpegError, IndexError, OSError) as error:
        raise DatasetError(f"{where}: the video cannot be read ({error})") from error


def _ticks_per_frame(stream: Any) -> Fraction:
    return 1 / (Fraction(stream.time_base) * Fraction(stream.average_rate))


def _readable(source: Path | bytes) -> io.BytesIO | str:
    return io.BytesIO(source) if isinstance(source, bytes) else str(source)


def _single_threaded(container: Any) -> Any:
    stream = container.streams.video[0]
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    return stream


def _rgb(frames: Iterable[Any]) -> Iterable[Frames]:
    """Convert with one converter: building one per frame halves the speed."""
    reformatter = VideoReformatter()
    for frame in frames:
        yield np.asarray(reformatter.reformat(frame, format="rgb24").to_ndarray(), np.uint8)
