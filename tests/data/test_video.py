import hashlib
import subprocess
import sys

import numpy as np
import pytest

from steadyhand.contracts.errors import DatasetError
from steadyhand.data.video import count_frames, decode_frames, decode_video, encode_video


def coloured_scene(num_frames=20, size=64):
    """Flat coloured shapes on a shaded table: what 64x64 robot cameras show."""
    y, x = np.mgrid[0:size, 0:size]
    frames = np.empty((num_frames, size, size, 3))
    for t in range(num_frames):
        frames[t] = np.array([150, 130, 110]) + (x * 30 / size)[..., None]
        frames[t][(abs(x - 20 - t) < 5) & (abs(y - 30) < 5)] = (210, 40, 30)
        frames[t][(abs(x - 45) < 4) & (abs(y - 50) < 4)] = (30, 60, 200)
        frames[t][abs(x - y + t) < 3] = (230, 230, 235)
    return frames.clip(0, 255).astype(np.uint8)


def test_equal_frames_give_equal_bytes_in_another_process():
    frames = coloured_scene(num_frames=7, size=16)
    code = (
        "import sys, hashlib, numpy as np\n"
        "from steadyhand.data.video import encode_video\n"
        "frames = np.frombuffer(sys.stdin.buffer.read(), np.uint8).reshape(-1, 16, 16, 3)\n"
        "print(hashlib.sha256(encode_video(frames, 20)).hexdigest())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=frames.tobytes(), capture_output=True, check=True
    )
    here = hashlib.sha256(encode_video(frames, 20)).hexdigest()
    assert done.stdout.decode().strip() == here
    assert hashlib.sha256(encode_video(frames, 20)).hexdigest() == here


def test_decoded_frames_keep_their_colours():
    frames = coloured_scene()
    decoded = decode_video(encode_video(frames, 20), "it")
    error = ((frames.astype(float) - decoded) ** 2).mean(axis=(1, 2, 3))
    assert (10 * np.log10(255**2 / error)).min() > 38


@pytest.mark.parametrize("num_frames", [1, 2, 3, 8])
def test_any_number_of_frames_comes_back_in_order(num_frames):
    frames = np.full((num_frames, 16, 16, 3), 0, np.uint8)
    frames += (np.arange(num_frames, dtype=np.uint8) * 25)[:, None, None, None]
    video = encode_video(frames, 20)
    decoded = decode_video(video, "it")
    assert count_frames(video, "it") == num_frames
    assert np.abs(decoded.astype(int) - frames).max() <= 4


def test_frames_are_addressed_by_their_index():
    video = encode_video(coloured_scene(num_frames=9, size=16), 20)
    chosen = [8, 0, 3, 3, 7, 1]
    assert np.array_equal(decode_frames(video, chosen, "it"), decode_video(video, "it")[chosen])


@pytest.mark.parametrize("index", [-1, 9])
def test_a_frame_that_does_not_exist_is_refused(index):
    video = encode_video(coloured_scene(num_frames=9, size=16), 20)
    with pytest.raises(DatasetError, match=f"no frame {index}; it has 9"):
        decode_frames(video, [index], "it")


@pytest.mark.parametrize("keep", [0, 10, 300])
@pytest.mark.parametrize("read", [decode_video, count_frames])
def test_a_cut_video_is_an_error_that_names_it(keep, read):
    video = encode_video(coloured_scene(num_frames=4, size=16), 20)
    with pytest.raises(DatasetError, match=r"file-003\.mp4: the video cannot be"):
        read(video[:keep], "file-003.mp4")


def test_a_missing_video_is_an_error_that_names_it(tmp_path):
    with pytest.raises(DatasetError, match="gone"):
        decode_video(tmp_path / "gone.mp4", "gone")
