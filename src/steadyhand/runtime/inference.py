"""Where chunks come from: the interface that the control loop sees, and the inline variant."""

from collections import deque
from enum import Enum
from typing import Protocol, final

from steadyhand.contracts.clock import Clock
from steadyhand.contracts.environment import Observation
from steadyhand.contracts.policy import Policy, State
from steadyhand.contracts.seeds import Key, stream
from steadyhand.runtime.gate import Result


class WorkerEvent(Enum):
    """What the supervision of a worker noticed in one tick."""

    DIED = "died"
    HUNG = "hung"
    RESTARTED = "restarted"
    READY = "ready"


class InferenceWorker(Protocol):
    """Computes chunks from observations; newest observation wins. No call ever waits for it."""

    @property
    def digest(self) -> str:
        """Digest of what computes."""
        ...

    def initial_state(self) -> State:
        """Return the policy's state at the start of an episode."""
        ...

    def request(self, observation: Observation, state: State, observed_at_s: float) -> int:
        """Ask for a chunk; return the number of the request."""
        ...

    def poll(self) -> Result | None:
        """Return the newest result that was not returned before, or None."""
        ...

    def supervise(self, now_s: float) -> tuple[WorkerEvent, ...]:
        """Notice a dead or hanging worker and restart it; called once per tick."""
        ...

    def close(self) -> None:
        """Stop it; calling it twice is fine."""
        ...


@final
class InlineWorker:
    """Infers in the caller's process.

    With a :class:`ManualClock` and a stated delay it is deterministic: that is how policies are
    evaluated in closed loop. With the real clock and no delay it is synchronous inference.

    Args:
        policy: Decides.
        clock: The loop's clock.
        delay_s: Results become available this long after their request, on that clock.
        digest: Digest of the policy, if it has one.
        stream_keys: Name of the random stream; request ``i`` uses ``(*stream_keys, i)``.
    """

    def __init__(
        self,
        policy: Policy,
        clock: Clock,
        delay_s: float = 0.0,
        *,
        digest: str = "inline",
        stream_keys: tuple[Key, ...] = ("runtime", 0),
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._delay_s = delay_s
        self._digest = digest
        self._stream_keys = stream_keys
        self._sequence = 0
        self._waiting: deque[tuple[float, Result]] = deque(maxlen=64)

    @property
    def digest(self) -> str:
        """Digest given when built."""
        return self._digest

    def initial_state(self) -> State:
        """Return the policy's initial state."""
        return self._policy.initial_state()

    def request(self, observation: Observation, state: State, observed_at_s: float) -> int:
        """Infer now; the result can be polled once the delay is over."""
        self._sequence += 1
        used = {key: observation[key] for key in self._policy.observation_specs}
        started_s = self._clock.now_s()
        rng = stream(*self._stream_keys, self._sequence)
        chunk, next_state = self._policy.act(used, state, rng)
        finished_s = self._clock.now_s()
        result = Result(
            actions=chunk.actions,
            state=next_state,
            observed_at_s=observed_at_s,
            digest=self._digest,
            compute_s=finished_s - started_s + self._delay_s,
            sequence=self._sequence,
        )
        self._waiting.append((finished_s + self._delay_s, result))
        return self._sequence

    def poll(self) -> Result | None:
        """Return the newest result whose delay is over."""
        # Rounding: a tick that falls on the end of the delay must find the result.
        now_s = self._clock.now_s() + 1e-7
        newest: Result | None = None
        while self._waiting and self._waiting[0][0] <= now_s:
            newest = self._waiting.popleft()[1]
        return newest

    def supervise(self, now_s: float) -> tuple[WorkerEvent, ...]:  # noqa: ARG002  protocol
        """Report nothing: there is no process to watch."""
        return ()

    def close(self) -> None:
        """Forget what was not polled."""
        self._waiting.clear()
