"""Change the light of training pictures, never their geometry.

A shift of two pixels moves what the arm should do by centimetres and ruins a short training; gain,
tint and brightness do not, and they cover lamps that no demonstration has shown.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_TINT_SHARE = 0.35


@dataclass(frozen=True, slots=True)
class Light:
    """How one batch of pictures is changed, per picture and colour channel.

    Args:
        gain: float (B, 3, 1, 1), around 1.
        offset: float (B, 3, 1, 1), for pictures in -1..1.
    """

    gain: Tensor
    offset: Tensor

    def apply(self, images: Tensor, part: slice) -> Tensor:
        """Return scaled pictures (b, 3, height, width), rows ``part`` of the batch, relit."""
        return images * self.gain[part] + self.offset[part]


def draw_light(num_images: int, strength: float, generator: torch.Generator) -> Light:
    """Draw gain, tint and brightness.

    Args:
        num_images: B.
        strength: Largest relative gain, and largest brightness offset; 0 changes nothing.
        generator: Source of chance.
    """

    def around_zero(channels: int) -> Tensor:
        return 2 * torch.rand(num_images, channels, 1, 1, generator=generator) - 1

    gain = 1 + strength * (around_zero(1) + _TINT_SHARE * around_zero(3))
    # Gain acts on light, of which there is none at -1.
    offset = gain - 1 + strength / 2 * around_zero(1)
    return Light(gain, offset.expand_as(gain).contiguous())
