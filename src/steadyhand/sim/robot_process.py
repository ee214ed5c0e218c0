"""The process behind a simulated robot: physics in real time, cameras at 20 Hz.

It runs one pick-and-place world on absolute deadlines, publishes what the sensors see and obeys
the newest command. It ends when asked to, or when the process that started it is gone.
"""

import os
import signal
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import final

import numpy as np

from steadyhand.contracts.clock import Clock, MonotonicClock
from steadyhand.contracts.errors import SteadyError
from steadyhand.contracts.exchange import Flags, LatestValue
from steadyhand.contracts.specs import Arrays, ArraySpec, Specs
from steadyhand.kinematics.controller import COMMAND_SPEC
from steadyhand.sim.tasks.pick_place import SNAPSHOT_SIZE, PickPlace, observation_specs
from steadyhand.sim.tasks.pick_place_scene import PHYSICS_STEP_S

TICK_S = 0.01
STATE = "observation.state"
SNAPSHOT = "snapshot"
COMMAND = "command"

# heartbeat_s, stop, quit: their names say it. reset: a counter of requests and its answer.
# overruns: ticks that were dropped because the machine was too slow.
WORDS = (
    "heartbeat_s",
    "stop",
    "quit",
    "reset",
    "reset_done",
    "seed",
    "index",
    "is_success",
    "elapsed_s",
    "overruns",
)

STATE_SPECS = {
    STATE: observation_specs(1)[STATE],
    SNAPSHOT: ArraySpec(SNAPSHOT, (SNAPSHOT_SIZE,), "float64"),
}
# The servos clip to their range; here a command need only have its shape and be finite.
EXCHANGED_COMMAND = replace(COMMAND_SPEC, low=None, high=None)

_STEPS_PER_TICK = round(TICK_S / PHYSICS_STEP_S)
_TICKS_PER_FRAME = 5
_LATEST_CATCH_UP_S = 0.1


@dataclass(frozen=True, slots=True)
class RobotHandle:
    """Names of a simulated robot's shared memory: plain values, to be sent to another process.

    Args:
        name: Prefix of the shared memory's names.
        task: Catalog name of the world.
        image_size: Height and width of the pictures [pixels].
    """

    name: str
    task: str
    image_size: int

    @property
    def frame_specs(self) -> Specs:
        """Specs of the pictures."""
        return {k: v for k, v in observation_specs(self.image_size).items() if k != STATE}


@final
class RobotMemory:
    """The four pieces of shared memory between a robot's process and its users.

    Args:
        handle: Their names.
        is_creator: Whether to create them, or to attach to what another process created.

    Raises:
        StorageError: If they cannot be created, or do not exist.
    """

    def __init__(self, handle: RobotHandle, *, is_creator: bool) -> None:
        value = LatestValue.create if is_creator else LatestValue.attach
        self.state = value(f"{handle.name}-state", STATE_SPECS)
        self.frames = value(f"{handle.name}-frames", handle.frame_specs)
        self.command = value(f"{handle.name}-command", {COMMAND: EXCHANGED_COMMAND})
        self.flags = (Flags.create if is_creator else Flags.attach)(f"{handle.name}-flags", WORDS)

    def close(self) -> None:
        """Unmap them here; calling it twice is fine."""
        for part in (self.state, self.frames, self.command, self.flags):
            part.close()

    def unlink(self) -> None:
        """Remove their names; calling it twice is fine."""
        for part in (self.state, self.frames, self.command, self.flags):
            part.unlink()


def run(handle: RobotHandle, parent_id: int, report: Connection) -> None:
    """Be the process: build the world, say that it is ready, and run until told to end.

    Args:
        handle: Shared memory and task.
        parent_id: Process that started this one; when it is gone, so is this.
        report: Gets None when ready, or the error that made it impossible.
    """
    # Ctrl-C reaches the whole process group; the one who started the robot decides about it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        memory = RobotMemory(handle, is_creator=False)
        body = _Body(PickPlace(handle.task, image_size=handle.image_size), memory, MonotonicClock())
        body.reset(0, 0)
    except SteadyError as error:
        report.send(error)
        return
    report.send(None)
    report.close()
    body.live(parent_id)
    memory.close()


@final
class _Body:
    """A world that moves with a clock.

    Args:
        world: The environment.
        memory: Where it publishes and reads commands.
        clock: Real time.
    """

    def __init__(self, world: PickPlace, memory: RobotMemory, clock: Clock) -> None:
        self._world = world
        self._memory = memory
        self._clock = clock
        self._commands_seen = 0
        self._is_braked = False

    def reset(self, seed: int, index: int) -> None:
        """Start an episode, publish it, and take commands again."""
        flags = self._memory.flags
        self._world.reset(seed, index)
        self._commands_seen = self._memory.command.newest_sequence
        self._is_braked = False
        flags.set("stop", 0)
        self._publish(has_frame=True)

    def live(self, parent_id: int) -> None:
        """Tick on absolute deadlines until told to quit or orphaned."""
        flags = self._memory.flags
        start_s, ticks = self._clock.now_s(), 0
        while not flags.get("quit") and os.getppid() == parent_id:
            if flags.get("reset") != flags.get("reset_done"):
                wanted = flags.get("reset")
                self.reset(flags.get("seed"), flags.get("index"))
                flags.set("reset_done", wanted)
                start_s, ticks = self._clock.now_s(), 0
            ticks += 1
            deadline_s = start_s + ticks * TICK_S
            self._clock.wait_until_s(deadline_s)
            behind_s = self._clock.now_s() - deadline_s
            if behind_s > _LATEST_CATCH_UP_S:
                # The machine slept: the world's time stands still rather than racing after it.
                dropped = int(behind_s / TICK_S)
                flags.set("overruns", flags.get("overruns") + dropped)
                start_s += dropped * TICK_S
            self._obey()
            self._world.advance(_STEPS_PER_TICK)
            self._publish(has_frame=ticks % _TICKS_PER_FRAME == 0)
        self._world.close()

    def _obey(self) -> None:
        """Take the newest command, or brake where the arm is."""
        if self._memory.flags.get("stop"):
            if not self._is_braked:
                self._world.set_targets(self._world.read_state()[:8].astype(np.float64))
                self._is_braked = True
            return
        if self._memory.command.newest_sequence == self._commands_seen:
            return
        latest = self._memory.command.read()
        if latest is None:
            return
        values, _, self._commands_seen = latest
        self._world.set_targets(values[COMMAND])

    def _publish(self, *, has_frame: bool) -> None:
        """Publish the sensors of this moment with the time of their capture."""
        captured_at_s = self._clock.now_s()
        flags = self._memory.flags
        state: Arrays = {STATE: self._world.read_state(), SNAPSHOT: self._world.snapshot()}
        self._memory.state.publish(state, captured_at_s)
        if has_frame:
            frames = self._world.observe()
            self._memory.frames.publish(frames, captured_at_s)
        flags.set("is_success", int(self._world.is_success()))
        flags.set_real("elapsed_s", self._world.elapsed_s)
        flags.set_real("heartbeat_s", self._clock.now_s())
