"""The kinds of policies, by name."""

from collections.abc import Mapping

from steadyhand.models.policies.chunking import ChunkingConfig

# Name written into a checkpoint's config.json, and the configuration it is read with.
POLICIES: Mapping[str, type[ChunkingConfig]] = {"chunking": ChunkingConfig}
