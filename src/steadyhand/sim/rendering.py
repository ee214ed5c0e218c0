"""Offscreen rendering: one OpenGL context per process, one renderer per model.

Pictures come from EGL, or from OSMesa where there is no EGL. Nothing here knows a task.
"""

import atexit
import ctypes
import ctypes.util
import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.errors import RenderingError

_FIX = (
    "offscreen rendering needs EGL or OSMesa; install them with: "
    "apt-get install libegl1 libgl1-mesa-dri libosmesa6"
)


@dataclass(frozen=True, slots=True)
class RenderProfile:
    """What a picture costs.

    Args:
        height: Pixels.
        width: Pixels.
        samples: Anti-aliasing samples per pixel; 0 for none.
        shadow_size: Edge of the shadow map in pixels; 0 for no shadows.
        is_detailed: Whether round things are drawn with MuJoCo's full number of faces; at 64
            pixels nobody sees them, and they cost more than half of the time.
    """

    height: int = 64
    width: int = 64
    samples: int = 0
    shadow_size: int = 0
    is_detailed: bool = False


class Renderer:
    """Draws cameras of one model.

    Args:
        model: The MuJoCo model; its visual quality fields are set to the profile.
        profile: Size and quality.

    Raises:
        RenderingError: If this machine offers no OpenGL; names the packages to install.
    """

    def __init__(self, model: mujoco.MjModel, profile: RenderProfile) -> None:
        self._context: mujoco.MjrContext | None = None
        self._gl = _gl_context(os.getpid())
        self._gl.make_current()
        model.vis.global_.offwidth, model.vis.global_.offheight = profile.width, profile.height
        quality = model.vis.quality
        quality.offsamples, quality.shadowsize = profile.samples, profile.shadow_size
        quality.numslices, quality.numstacks, quality.numquads = (
            (28, 16, 4) if profile.is_detailed else (12, 6, 1)
        )
        self._model = model
        self._rect = mujoco.MjrRect(0, 0, profile.width, profile.height)
        self._scene = mujoco.MjvScene(model, maxgeom=200)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = int(profile.shadow_size > 0)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        self._option = mujoco.MjvOption()
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._buffer = np.empty((profile.height, profile.width, 3), np.uint8)
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)

    def render(self, data: mujoco.MjData, camera: str) -> NDArray[np.uint8]:
        """Draw one camera; ``data`` must hold up-to-date kinematics.

        Returns:
            A new uint8 array of shape (height, width, 3).

        Raises:
            RenderingError: After :meth:`close`.
        """
        if self._context is None:
            raise RenderingError("this renderer is closed; make a new one")
        self._gl.make_current()
        self._camera.fixedcamid = self._model.camera(camera).id
        mujoco.mjv_updateScene(
            self._model,
            data,
            self._option,
            None,
            self._camera,
            mujoco.mjtCatBit.mjCAT_ALL,
            self._scene,
        )
        # Which buffer is bound is state of OpenGL, shared by all renderers of this process.
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(self._buffer, None, self._rect, self._context)
        return self._buffer[::-1].copy()

    def close(self) -> None:
        """Free the buffers; calling it twice is fine."""
        if self._context is not None:
            self._gl.make_current()
            self._context.free()
            self._context = None


@cache
def _gl_context(_process_id: int) -> Any:
    """Return this process's only OpenGL context; a forked child gets its own."""
    # Mesa's software rasteriser starts a thread per core, which only costs time at these sizes
    # and takes the cores from the other workers; it reads this when the context is made.
    os.environ.setdefault("LP_NUM_THREADS", "0")
    if _egl_works():
        context = _open_context("egl")
    elif ctypes.util.find_library("OSMesa"):
        context = _open_context("osmesa")
    else:
        raise RenderingError(f"neither EGL nor OSMesa was found; {_FIX}")
    atexit.register(context.free)
    return context


def _open_context(backend: str) -> Any:
    """Open a context with MuJoCo's EGL or OSMesa binding."""
    # PyOpenGL chooses its platform by this variable when it is first imported.
    os.environ["PYOPENGL_PLATFORM"] = backend
    try:
        if backend == "egl":
            from mujoco.egl import GLContext  # noqa: PLC0415 - only one backend may be imported
        else:
            from mujoco.osmesa import GLContext  # noqa: PLC0415
        return GLContext(64, 64)
    except (ImportError, AttributeError, RuntimeError) as error:
        raise RenderingError(f"{backend} could not open a context ({error}); {_FIX}") from error


def _egl_works() -> bool:
    """Whether EGL loads and offers at least one device, found without PyOpenGL's side effects."""
    try:
        egl = ctypes.CDLL("libEGL.so.1")
        egl.eglGetProcAddress.restype = ctypes.c_void_p
        address = egl.eglGetProcAddress(b"eglQueryDevicesEXT")
    except (OSError, AttributeError):
        return False
    if not address:
        return False
    query = ctypes.CFUNCTYPE(
        ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)
    )(address)
    count = ctypes.c_int(0)
    return bool(query(0, None, ctypes.byref(count))) and count.value > 0
