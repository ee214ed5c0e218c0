"""A small transformer decoder for the head, after ACT: one query per action of the chunk.

Source: Zhao et al., "Learning Fine-Grained Bimanual Manipulation with Low-Cost Hardware" (ACT),
2023, section IV; without its variational encoder, which helps with demonstrations of many styles.
"""

import torch
from torch import Tensor, nn

from steadyhand.models.policies.chunking_network import ACTION_SIZE

_NUM_HEADS = 4


class Attention(nn.Module):
    """Multi-head attention with queries from one sequence, keys and values from another."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, queries: Tensor, memory: Tensor) -> Tensor:
        """Return (B, q, W) for queries (B, q, W) and memory (B, m, W)."""
        width = queries.shape[2]
        query = _split(self.query(queries))
        key, value = (_split(x) for x in self.key_value(memory).chunk(2, dim=2))
        scores = query @ key.transpose(2, 3) * (width // _NUM_HEADS) ** -0.5
        mixed = (scores.softmax(dim=3) @ value).transpose(1, 2).flatten(2)
        projected: Tensor = self.out(mixed)
        return projected


def _split(sequence: Tensor) -> Tensor:
    """Turn (B, t, W) into (B, heads, t, W / heads)."""
    batch, length, width = sequence.shape
    return sequence.reshape(batch, length, _NUM_HEADS, width // _NUM_HEADS).transpose(1, 2)


class DecoderLayer(nn.Module):
    """Pre-norm: self-attention among the actions, attention to the observation, two-layer MLP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.among = Attention(width)
        self.across = Attention(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width)
        )

    def forward(self, actions: Tensor, memory: Tensor) -> Tensor:
        """Return (B, n, W)."""
        normed = self.norms[0](actions)
        actions = actions + self.among(normed, normed)
        actions = actions + self.across(self.norms[1](actions), memory)
        shaped: Tensor = self.mlp(self.norms[2](actions))
        return actions + shaped


class TransformerDecoder(nn.Module):
    """Two decoder layers over one token per camera and one for the state.

    Args:
        num_cameras: Cameras that the features come from, in equal parts.
        num_features: Size of the features of all cameras.
        state_size: Size of the state vector.
        width: Size of a token.
        chunk_length: Actions per chunk.
    """

    def __init__(
        self, num_cameras: int, num_features: int, state_size: int, width: int, chunk_length: int
    ) -> None:
        super().__init__()
        self.num_cameras = num_cameras
        self.cameras = nn.ModuleList(
            nn.Linear(num_features // num_cameras, width) for _ in range(num_cameras)
        )
        self.state = nn.Linear(state_size, width)
        self.queries = nn.Parameter(0.02 * torch.randn(chunk_length, width))
        self.layers = nn.ModuleList(DecoderLayer(width) for _ in range(2))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, ACTION_SIZE))

    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        """Return (B, n, 5) for features (B, F) and a normalised state (B, S)."""
        parts = features.chunk(self.num_cameras, dim=1)
        tokens = [layer(part) for layer, part in zip(self.cameras, parts, strict=True)]
        token = self.state(state)
        memory = torch.stack((*tokens, token), dim=1)
        actions = self.queries.unsqueeze(0) + token.unsqueeze(1)
        for layer in self.layers:
            actions = layer(actions, memory)
        decoded: Tensor = self.out(actions)
        return decoded
