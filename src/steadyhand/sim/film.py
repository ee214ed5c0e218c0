"""Pictures for people: scene and wrist side by side, larger, with smooth edges.

Policies never see these; encoding them as a video is somebody else's job. A world is filmed while
it is stepped (:meth:`FilmCamera.shoot`), or afterwards from the snapshots that a real-time robot
gave (:meth:`FilmCamera.shoot_snapshot`), which costs that robot nothing.
"""

from typing import final

import numpy as np
from numpy.typing import NDArray

from steadyhand.sim.rendering import Renderer, RenderProfile
from steadyhand.sim.tasks.pick_place import CAMERAS, PickPlace

FILM_PROFILE = RenderProfile(height=240, width=320, samples=4, is_detailed=True)


@final
class FilmCamera:
    """Films one pick-and-place world.

    Args:
        world: The environment, reset to the episode that is filmed.
        profile: Size and quality of each half of the picture.

    Raises:
        RenderingError: If this machine has no OpenGL.
    """

    def __init__(self, world: PickPlace, profile: RenderProfile = FILM_PROFILE) -> None:
        self._world = world
        self._renderer = Renderer(world.model, profile)

    def shoot(self) -> NDArray[np.uint8]:
        """Return the world as it is: uint8 (height, 2 * width, 3), scene left, wrist right."""
        wrist, scene = (self._renderer.render(self._world.data, camera) for camera in CAMERAS)
        return np.concatenate((scene, wrist), axis=1)

    def shoot_snapshot(self, snapshot: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Return the world as a snapshot says; the world must not be stepped on afterwards."""
        self._world.show(snapshot)
        return self.shoot()

    def close(self) -> None:
        """Free the buffers; the world stays open. Calling it twice is fine."""
        self._renderer.close()
