"""A compact policy that decides half a second at once from two small pictures and the joints.

It remembers one number, the last grip command (docs/decisions/0005); everything else follows from
the observation. The network is in ``chunking_network``; this module knows no training.
"""

from dataclasses import dataclass

import numpy as np
import torch

from steadyhand.contracts.catalog import lookup
from steadyhand.contracts.environment import Observation
from steadyhand.contracts.errors import DataError, UsageError
from steadyhand.contracts.policy import ActionChunk, State
from steadyhand.contracts.specs import ArraySpec, Specs, validate_arrays
from steadyhand.models.normalisation import Normalisation
from steadyhand.models.policies.chunking_network import (
    ACTION_SIZE,
    POSE,
    ChunkingNetwork,
    Head,
    MlpDecoder,
    Vision,
)
from steadyhand.models.policies.chunking_transformer import TransformerDecoder
from steadyhand.models.threads import torch_threads

STATE, GRIP = "observation.state", "state.grip"
HEADS = {"mlp": 256, "transformer": 128}  # width of each kind


@dataclass(frozen=True, slots=True)
class ChunkingConfig:
    """What the policy sees and how large its network is.

    Args:
        cameras: Names of the cameras, in the order the vision part takes them.
        image_size: Height and width of the pictures [pixels], a multiple of 4.
        state_size: Elements of the state vector; its elements 8..11 are the end-effector pose.
        chunk_length: Actions decided at once.
        action_period_s: Time [s] each action is executed.
        channels: Channels after each of the four convolutions.
        head: ``mlp`` or ``transformer``.
    """

    cameras: tuple[str, ...] = ("wrist", "scene")
    image_size: int = 64
    state_size: int = 12
    chunk_length: int = 10
    action_period_s: float = 0.05
    channels: tuple[int, ...] = (16, 32, 32, 32)
    head: str = "mlp"

    def __post_init__(self) -> None:
        lookup("head", self.head, HEADS)
        if not self.cameras or len(set(self.cameras)) != len(self.cameras):
            raise UsageError(f"cameras must be one or more different names, got {self.cameras}")
        if self.image_size < 16 or self.image_size % 4:
            raise UsageError(f"image_size must be a multiple of 4 from 16, got {self.image_size}")
        if self.state_size < POSE.stop:
            raise UsageError(
                f"state_size must be at least {POSE.stop} (the end-effector pose stands in "
                f"elements {POSE.start}..{POSE.stop - 1}), got {self.state_size}"
            )
        if self.chunk_length < 1 or not self.action_period_s > 0:
            raise UsageError(
                "chunk_length and action_period_s must be positive, got "
                f"{self.chunk_length} and {self.action_period_s}"
            )
        if len(self.channels) != 4 or min(self.channels) < 1:
            raise UsageError(f"channels must be four positive numbers, got {self.channels}")

    @property
    def image_keys(self) -> tuple[str, ...]:
        """Observation keys of the pictures."""
        return tuple(f"observation.images.{camera}" for camera in self.cameras)


def build_network(config: ChunkingConfig, normalisation: Normalisation) -> ChunkingNetwork:
    """Build a network with weights drawn from torch's global generator.

    Args:
        config: Its shape.
        normalisation: Its constants.

    Raises:
        DataError: If the constants do not fit the shape.
    """
    given = (len(normalisation.state_mean), len(normalisation.motion_mean))
    if given != (config.state_size, config.chunk_length):
        raise DataError(
            f"normalisation is for (state size, chunk length) {given}, the policy has "
            f"{(config.state_size, config.chunk_length)}; compute it for this configuration"
        )
    vision = Vision(len(config.cameras), config.image_size, config.channels)
    width, num_features = HEADS[config.head], vision.num_features
    decoder: torch.nn.Module
    if config.head == "mlp":
        decoder = MlpDecoder(num_features + config.state_size, width, config.chunk_length)
    else:
        decoder = TransformerDecoder(
            len(config.cameras), num_features, config.state_size, width, config.chunk_length
        )
    return ChunkingNetwork(vision, Head(decoder, normalisation))


class ChunkingPolicy:
    """The policy in torch, for evaluation and export; a robot runs the exported graphs.

    Args:
        config: Its configuration.
        normalisation: Its constants.
        network: Its network; used as it is, on the CPU, never changed.
    """

    def __init__(
        self, config: ChunkingConfig, normalisation: Normalisation, network: ChunkingNetwork
    ) -> None:
        self.config = config
        self.normalisation = normalisation
        self.network = network.eval().requires_grad_(requires_grad=False)

    @property
    def observation_specs(self) -> Specs:
        """Pictures, then the state vector."""
        size = self.config.image_size
        specs = {k: ArraySpec(k, (size, size, 3), "uint8") for k in self.config.image_keys}
        return specs | {STATE: ArraySpec(STATE, (self.config.state_size,), "float32")}

    @property
    def action_spec(self) -> ArraySpec:
        """Absolute end-effector target and grip."""
        return ArraySpec(
            "action",
            (ACTION_SIZE,),
            "float32",
            names=(
                "end_effector_x",
                "end_effector_y",
                "end_effector_z",
                "end_effector_yaw",
                "grip",
            ),
        )

    @property
    def state_specs(self) -> Specs:
        """Four bytes: the last grip command."""
        return {GRIP: ArraySpec(GRIP, (1,), "float32", low=0.0, high=1.0)}

    def initial_state(self) -> State:
        """Return an open gripper."""
        return {GRIP: np.zeros(1, np.float32)}

    def act(
        self,
        observation: Observation,
        state: State,
        rng: np.random.Generator,  # noqa: ARG002  part of the Policy protocol
    ) -> tuple[ActionChunk, State]:
        """Decide; no chance is involved.

        Raises:
            SpecError: If an observation or the state does not fit its spec.
        """
        specs = self.observation_specs
        used = {key: value for key, value in observation.items() if key in specs}
        arrays = [*validate_arrays(specs, used, "observation").values()]
        arrays += validate_arrays(self.state_specs, state, "policy state").values()
        with torch_threads(1), torch.inference_mode():
            *images, vector, grip = (torch.from_numpy(a.copy()).unsqueeze(0) for a in arrays)
            actions, latched = self.network.head(self.network.vision(*images), vector, grip)
        chunk = ActionChunk(actions[0].numpy(), self.config.action_period_s)
        return chunk, {GRIP: latched[0].numpy()}
