import colorsys
import subprocess
import sys

import numpy as np
import pytest

from steadyhand.contracts.errors import RenderingError
from steadyhand.kinematics import panda
from steadyhand.sim.film import FilmCamera
from steadyhand.sim.rendering import Renderer, RenderProfile
from steadyhand.sim.tasks.pick_place_expert import decide

WITHOUT_OPENGL = """
import ctypes, ctypes.util
from steadyhand.contracts.errors import RenderingError
from steadyhand.sim.tasks.pick_place import PickPlace
world = PickPlace("pick_place-plain")
world.reset(0, 0)
real = ctypes.CDLL
def missing(name, *arguments, **keywords):
    if name == "libEGL.so.1":
        raise OSError(f"{name}: cannot open shared object file")
    return real(name, *arguments, **keywords)
ctypes.CDLL = missing
ctypes.util.find_library = lambda name: None
try:
    world.observe()
except RenderingError as error:
    print(error)
"""


def share_of_hue(picture, hue):
    """Return the share of pixels that are saturated and within 0.08 of a hue."""
    pixels = [colorsys.rgb_to_hsv(*p) for p in (picture.reshape(-1, 3) / 255.0).tolist()]
    close = [min(abs(h - hue), 1 - abs(h - hue)) < 0.08 and s > 0.5 for h, s, _ in pixels]
    return np.mean(close)


def test_the_scene_camera_sees_object_distractor_and_target_of_every_hard_episode(hard):
    for index in range(20):
        hard.reset(2, index)
        picture = hard.render("scene")
        for hue in (0.0, 0.61, 0.33):
            assert share_of_hue(picture, hue) > 3 / 64**2, (index, hue)


def test_the_wrist_camera_sees_the_object_between_the_fingers_when_it_is_grasped(hard):
    hard.reset(2, 0)
    for _ in range(100):
        hard.step(decide(hard.world_state()))
        if hard.world_state().num_pads_touching == 2:
            break
    picture = hard.render("wrist")
    assert share_of_hue(picture[32:, 16:48], 0.0) > 0.12


def test_the_wrist_camera_sees_the_fingers_move(hard):
    hard.reset(2, 0)
    opened = hard.render("wrist")
    hard.reset(2, 0, joints=np.array(panda.REST_RAD), opening_m=0.0)
    changed = (opened != hard.render("wrist")).any(axis=-1)
    assert changed[32:].sum() > 40
    assert changed[:24].sum() == 0


def test_pictures_are_equal_when_nothing_changed(hard):
    hard.reset(2, 0)
    np.testing.assert_array_equal(hard.render("scene"), hard.render("scene"))


def test_filming_does_not_change_what_the_policy_sees(hard):
    hard.reset(2, 1)
    before = hard.observe()
    camera = FilmCamera(hard, RenderProfile(48, 64, samples=4, shadow_size=256))
    first = camera.shoot()
    after = hard.observe()
    second = camera.shoot()
    camera.close()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)
    np.testing.assert_array_equal(first, second)
    assert first.shape == (48, 128, 3)
    assert first.std() > 10


def test_a_closed_renderer_says_so(hard):
    renderer = Renderer(hard.model, RenderProfile(16, 16))
    renderer.close()
    renderer.close()
    with pytest.raises(RenderingError, match="closed"):
        renderer.render(hard.data, "scene")


def test_a_machine_without_opengl_is_told_which_packages_to_install():
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_OPENGL], capture_output=True, text=True, check=True
    )
    assert "apt-get install libegl1 libgl1-mesa-dri libosmesa6" in result.stdout
