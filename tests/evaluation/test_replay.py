import io

import av
import numpy as np
import pytest

from steadyhand.contracts.environment import EpisodeKey
from steadyhand.contracts.errors import DataError, UsageError
from steadyhand.evaluation.replay import encode_film, film, replay


def test_a_replay_ends_as_the_evaluation_did_and_films_every_part_of_it(
    short_episode, expert_key, tmp_path
):
    path = tmp_path / "episode.mp4"
    result = replay(expert_key, short_episode, path)
    assert result == short_episode(expert_key)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("vp9", "yuv420p")
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        # Every third of the 20 ms ticks is filmed; the last picture stays for 0.7 s.
        assert len(frames) == -(-result.num_steps // 3) + round(0.7 * 50 / 3)
        assert float(stream.average_rate) == pytest.approx(50 / 3)
    height, width, _ = frames[0].shape
    assert width == 640
    assert np.abs(frames[0][:-6].astype(int) - frames[-1][:-6]).mean() > 2  # something moved
    strip_start, strip_end = (
        f[height - 3, width // 2].astype(int) for f in (frames[0], frames[-1])
    )
    assert strip_start[0] > strip_start[1]  # orange: nothing was inferred yet
    assert strip_end[1] > strip_end[0]  # green: the policy acts


def test_equal_frames_give_equal_bytes_and_the_film_can_be_played():
    frames = [np.full((32, 48, 3), 5 * i, np.uint8) for i in range(20)]
    data = encode_film(frames, 20)
    assert data == encode_film(frames, 20)
    with av.open(io.BytesIO(data)) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [round(frame.mean() / 5) for frame in shown] == list(range(20))


@pytest.mark.parametrize("frames", [[], [np.zeros((31, 48, 3), np.uint8)]])
def test_a_film_of_nothing_or_of_odd_size_is_refused(frames):
    with pytest.raises(DataError, match="even height and width"):
        encode_film(frames, 20)


def test_a_world_that_cannot_be_filmed_is_named(reach_episode):
    with pytest.raises(UsageError, match="'reach-a' cannot be filmed"):
        film(EpisodeKey("reach-a", 1, 5, 2), reach_episode)
