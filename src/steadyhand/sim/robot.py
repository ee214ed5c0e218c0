"""A simulated arm that behaves like a real one: it moves on while nobody looks.

Physics and cameras run in a process of their own, in real time; this is the connection to it,
through shared memory. It implements :class:`steadyhand.contracts.robot.Robot`.
"""

import multiprocessing
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import final

import numpy as np
from numpy.typing import NDArray

from steadyhand.contracts.clock import MonotonicClock
from steadyhand.contracts.errors import StageError, SteadyError
from steadyhand.contracts.robot import Reading
from steadyhand.contracts.specs import ArraySpec, Specs
from steadyhand.kinematics.controller import COMMAND_SPEC
from steadyhand.sim import robot_process
from steadyhand.sim.robot_process import (
    COMMAND,
    EXCHANGED_COMMAND,
    SNAPSHOT,
    STATE,
    RobotHandle,
    RobotMemory,
)
from steadyhand.sim.tasks.pick_place import observation_specs
from steadyhand.sim.tasks.pick_place_levels import parse_task

_START_WITHIN_S = 60.0
_RESET_WITHIN_S = 10.0
_DEAD_AFTER_S = 0.5
_POLL_S = 0.002


@dataclass(frozen=True, slots=True)
class SimulatedRobotHandle:
    """A picklable way to the same robot from another process.

    Args:
        memory: Names of the shared memory.
    """

    memory: RobotHandle

    def attach(self) -> "SimulatedRobot":
        """Connect from this process.

        Raises:
            StorageError: If the robot is gone.
        """
        return SimulatedRobot(self.memory, RobotMemory(self.memory, is_creator=False), None)


@final
class SimulatedRobot:
    """The robot; make one with :meth:`start`, or with ``handle().attach()`` elsewhere.

    Only one process may send commands; every process may observe and stop.

    Args:
        handle: Names of the shared memory.
        memory: The shared memory.
        process: The robot's process if this object started it.
    """

    def __init__(
        self, handle: RobotHandle, memory: RobotMemory, process: SpawnProcess | None
    ) -> None:
        self._handle = handle
        self._memory = memory
        self._process = process
        self._clock = MonotonicClock()
        self._is_closed = False
        self._specs = observation_specs(handle.image_size)

    @classmethod
    def start(cls, task: str, *, image_size: int = 64) -> "SimulatedRobot":
        """Start the robot's process and wait until it publishes.

        Args:
            task: Catalog name of a pick-and-place task.
            image_size: Height and width of the pictures [pixels].

        Raises:
            UnknownNameError: If there is no such task.
            RenderingError: If this machine has no OpenGL.
            StageError: If the process dies or does not get ready.
        """
        parse_task(task)
        handle = RobotHandle(f"steadyhand-robot-{secrets.token_hex(6)}", task, image_size)
        memory = RobotMemory(handle, is_creator=True)
        context = multiprocessing.get_context("spawn")
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(
            target=robot_process.run,
            args=(handle, os.getpid(), sender),
            name="steadyhand-robot",
            daemon=True,
        )
        robot = cls(handle, memory, process)
        try:
            process.start()
            sender.close()
            _wait_until_ready(receiver)
        except BaseException:
            robot.close()
            raise
        finally:
            receiver.close()
        return robot

    @property
    def observation_specs(self) -> Specs:
        """``observation.state`` and one picture per camera."""
        return self._specs

    @property
    def command_spec(self) -> ArraySpec:
        """Seven joint targets [rad], then the gripper opening [m]."""
        return COMMAND_SPEC

    @property
    def is_stopped(self) -> bool:
        """Whether :meth:`stop` was called, by any process."""
        return bool(self._memory.flags.get("stop"))

    @property
    def process_id(self) -> int | None:
        """Process id of the robot, where this object started it."""
        return None if self._process is None else self._process.pid

    @property
    def num_overruns(self) -> int:
        """Ticks of 10 ms the robot dropped because the machine was too slow."""
        return self._memory.flags.get("overruns")

    def observe(self) -> Reading:
        """Return the newest joints (100 Hz) and pictures (20 Hz) without waiting.

        Returns:
            ``observed_at_s`` is the capture time of the pictures, which are the older part.

        Raises:
            StageError: If the robot's process died or stands still.
        """
        self._check_alive()
        state, frames = self._memory.state.read(), self._memory.frames.read()
        if state is None or frames is None:
            raise StageError("the simulated robot has not published anything yet; start it first")
        # Each sequence only grows, so their sum is equal only if both captures are.
        return Reading(
            values={STATE: state[0][STATE], **frames[0]},
            observed_at_s=min(state[1], frames[1]),
            sequence=state[2] + frames[2],
        )

    def command(self, target: NDArray[np.float64]) -> None:
        """Set the position targets; ignored once stopped.

        Raises:
            SpecError: If the shape or dtype is wrong, or a number is not finite.
            StageError: If the robot's process died or stands still.
        """
        self._check_alive()
        EXCHANGED_COMMAND.validate(target)
        self._memory.command.publish({COMMAND: target}, self._clock.now_s())

    def stop(self) -> None:
        """Brake and hold, from any process; commands are ignored until the next reset."""
        self._memory.flags.set("stop", 1)

    def reset(self, seed: int, index: int) -> None:
        """Put arm and world back to the start of an episode, and take commands again.

        Raises:
            StageError: If the robot's process died or does not answer.
        """
        flags = self._memory.flags
        flags.set("seed", seed)
        flags.set("index", index)
        wanted = flags.get("reset") + 1
        flags.set("reset", wanted)
        self._wait(lambda: flags.get("reset_done") == wanted, "did not finish its reset")

    def is_success(self) -> bool:
        """Whether the object rests on the target, released, at this moment."""
        return bool(self._memory.flags.get("is_success"))

    def elapsed_s(self) -> float:
        """Return the simulated time [s] since the last reset."""
        return self._memory.flags.get_real("elapsed_s")

    def snapshot(self) -> NDArray[np.float64]:
        """Return where everything in the world is, for :class:`steadyhand.sim.film.FilmCamera`.

        Raises:
            StageError: If the robot's process died or stands still.
        """
        self._check_alive()
        state = self._memory.state.read()
        if state is None:
            raise StageError("the simulated robot has not published anything yet; start it first")
        return state[0][SNAPSHOT]

    def handle(self) -> SimulatedRobotHandle:
        """Return a picklable value whose ``attach()`` gives this robot in another process."""
        return SimulatedRobotHandle(self._handle)

    def close(self) -> None:
        """Let go of it; whoever started it also ends its process. Calling it twice is fine."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._process is not None:
            self._memory.flags.set("quit", 1)
            if self._process.pid is not None:
                self._process.join(2.0)
                if self._process.is_alive():
                    self._process.kill()
                    self._process.join()
            self._process.close()
            self._memory.unlink()
        self._memory.close()

    def _check_alive(self) -> None:
        if self._is_closed:
            raise StageError("this connection to the robot is closed; make a new one")
        silent_s = self._clock.now_s() - self._memory.flags.get_real("heartbeat_s")
        if silent_s > _DEAD_AFTER_S or (self._process and not self._process.is_alive()):
            raise StageError(
                f"the simulated robot's process has been silent for {silent_s:.2f} s: it died or "
                "stands still. Start a new robot"
            )

    def _wait(self, is_done: Callable[[], bool], failure: str) -> None:
        """Wait for an answer, as long as there is somebody to give it."""
        give_up_s = self._clock.now_s() + _RESET_WITHIN_S
        while not is_done():
            if self._clock.now_s() > give_up_s:
                raise StageError(f"the simulated robot {failure} within {_RESET_WITHIN_S} s")
            self._check_alive()
            self._clock.wait_until_s(self._clock.now_s() + _POLL_S)


def _wait_until_ready(receiver: Connection) -> None:
    """Wait for the process to say that it is ready, or raise what it says instead."""
    if not receiver.poll(_START_WITHIN_S):
        raise StageError(f"the simulated robot was not ready after {_START_WITHIN_S} s")
    try:
        error: SteadyError | None = receiver.recv()
    except EOFError as gone:
        raise StageError("the simulated robot's process died while starting") from gone
    if error is not None:
        raise error
