"""The network of the chunking policy, cut into ``vision`` and ``head`` as it is exported.

Raw observations in, absolute actions out: conversion of images, normalisation and "relative to
the pose at the start of the chunk" happen inside, so a robot has no preprocessing that could
differ. Only operators that the ONNX exporter for TorchScript writes faithfully are used.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from steadyhand.models.normalisation import Normalisation

# Where x, y, z and yaw of the end effector stand in the state vector (contracts of the task).
POSE = slice(8, 12)
ACTION_SIZE = 5
CLOSES_ABOVE, OPENS_BELOW = 0.6, 0.4
# A map without contrast looks at the middle instead of dividing by zero.
_SMALLEST_VARIANCE = 1e-5


def latch_grip(closing: Tensor, grip: Tensor) -> Tensor:
    """Run a Schmitt trigger along a chunk, without a loop so that the graph stays small.

    Args:
        closing: float (B, n) probability that the gripper is commanded to close.
        grip: float (B, 1) last command, 0 or 1.

    Returns:
        float (B, n) of 0 and 1: closes above 0.6, opens below 0.4, otherwise keeps.
    """
    length = closing.shape[1]
    closes = (closing > CLOSES_ABOVE).to(closing.dtype)
    decides = closes + (closing < OPENS_BELOW).to(closing.dtype)
    # Number the decisions 2, 4, 6 ... and add the command: the largest so far is the latest, and
    # its lowest bit is the command. Whole numbers below 2 n + 2 are exact in any float format.
    order = torch.arange(1, length + 1, dtype=closing.dtype, device=closing.device)
    coded = decides * (2 * order + closes)
    past = torch.ones(length, length, dtype=closing.dtype, device=closing.device).tril()
    latest = (coded.unsqueeze(1) * past).amax(dim=2)
    latest = torch.maximum(latest, (grip > 0.5).to(closing.dtype))
    return latest - 2 * torch.floor(latest / 2)


class SpatialSoftmax(nn.Module):
    """Where each channel looks: the mean position under a softmax with a learned temperature.

    Each map is standardised first, so that a small object stands out by its contrast from the
    first step on, whatever the scale of the initial weights.
    """

    positions: Tensor

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.log_sharpness = nn.Parameter(torch.zeros(1))
        y, x = torch.meshgrid(
            torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij"
        )
        positions = torch.stack((x.flatten(), y.flatten()), dim=1)
        self.register_buffer("positions", positions, persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B, 2 C) positions in -1..1 for maps (B, C, height, width)."""
        flat = maps.flatten(2)
        centred = flat - flat.mean(dim=2, keepdim=True)
        deviation = (centred.square().mean(dim=2, keepdim=True) + _SMALLEST_VARIANCE).sqrt()
        weights = (centred / deviation * self.log_sharpness.exp()).softmax(dim=2)
        return (weights @ self.positions).flatten(1)


class Vision(nn.Module):
    """Per camera: four convolutions, then spatial softmax.

    Args:
        num_cameras: Number of cameras.
        image_size: Height and width of the pictures [pixels], a multiple of 4.
        channels: Channels after each of the four convolutions.
    """

    def __init__(self, num_cameras: int, image_size: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.cameras = nn.ModuleList(
            _camera_encoder(image_size, channels) for _ in range(num_cameras)
        )
        self.num_features = 2 * channels[-1] * num_cameras

    def forward(self, *images: Tensor) -> Tensor:
        """Return features (B, F) of uint8 pictures (B, height, width, 3), one per camera."""
        return self.encode(*(scale(image) for image in images))

    def encode(self, *images: Tensor) -> Tensor:
        """Return features (B, F) of scaled pictures (B, 3, height, width), one per camera."""
        pairs = zip(self.cameras, images, strict=True)
        return torch.cat([encoder(image) for encoder, image in pairs], dim=1)


def scale(image: Tensor) -> Tensor:
    """Turn uint8 (B, height, width, 3) into float (B, 3, height, width) in -1..1."""
    # A permuted view keeps the channels innermost in memory: the layout convolutions are fast in.
    return image.permute(0, 3, 1, 2).to(torch.float32) * (2 / 255) - 1


def _camera_encoder(image_size: int, channels: Sequence[int]) -> nn.Sequential:
    first, second, third, fourth = channels
    # No normalisation layers: on these sizes they cost as much time as the convolutions.
    return nn.Sequential(
        nn.Conv2d(3, first, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(first, second, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(second, third, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(third, fourth, 3, padding=1),
        SpatialSoftmax(image_size // 4, image_size // 4),
    )


class MlpDecoder(nn.Module):
    """Two hidden layers, all actions of the chunk at once."""

    def __init__(self, num_inputs: int, hidden_size: int, chunk_length: int) -> None:
        super().__init__()
        self.chunk_length = chunk_length
        self.layers = nn.Sequential(
            nn.Linear(num_inputs, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, chunk_length * ACTION_SIZE),
        )

    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        """Return (B, n, 5) for features (B, F) and a normalised state (B, S)."""
        decoded: Tensor = self.layers(torch.cat((features, state), dim=1))
        return decoded.reshape(-1, self.chunk_length, ACTION_SIZE)


class Head(nn.Module):
    """Features, state and grip latch to a chunk of absolute actions.

    Args:
        decoder: Maps features (B, F) and a normalised state (B, S) to (B, n, 5).
        normalisation: Constants; kept as buffers, not as weights.
    """

    state_mean: Tensor
    state_std: Tensor
    motion_mean: Tensor
    motion_std: Tensor

    def __init__(self, decoder: nn.Module, normalisation: Normalisation) -> None:
        super().__init__()
        self.decoder = decoder
        for name, values in normalisation.to_json().items():
            # Not persistent: a checkpoint holds them once, in its statistics.json.
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    def forward(self, features: Tensor, state: Tensor, grip: Tensor) -> tuple[Tensor, Tensor]:
        """Decide a chunk.

        Args:
            features: float (B, F) from :class:`Vision`.
            state: float (B, S) raw state vector.
            grip: float (B, 1) last grip command, 0 or 1.

        Returns:
            Actions (B, n, 5): x, y, z [m], yaw [rad], grip 0 or 1; and the grip of action 0
            (B, 1), which is what the latch holds when this observation's time has passed.
        """
        decoded = self.decode(features, state)
        motion = decoded[:, :, :4] * self.motion_std + self.motion_mean
        absolute = motion + state[:, POSE].unsqueeze(1)
        latched = latch_grip(torch.sigmoid(decoded[:, :, 4]), grip)
        return torch.cat((absolute, latched.unsqueeze(2)), dim=2), latched[:, :1]

    def decode(self, features: Tensor, state: Tensor) -> Tensor:
        """Return (B, n, 5): normalised relative motion, then the logit of closing."""
        decoded: Tensor = self.decoder(features, (state - self.state_mean) / self.state_std)
        return decoded


class ChunkingNetwork(nn.Module):
    """The two parts of a chunking policy."""

    def __init__(self, vision: Vision, head: Head) -> None:
        super().__init__()
        self.vision = vision
        self.head = head
