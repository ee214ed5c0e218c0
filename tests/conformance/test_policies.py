"""Every policy of the catalog, in every form of its head, keeps the contract of policies."""

import pytest
import torch

from steadyhand.contracts.conformance.policy import check_policy
from steadyhand.models.normalisation import Normalisation
from steadyhand.models.policies.catalog import POLICIES
from steadyhand.models.policies.chunking import HEADS, ChunkingPolicy, build_network


@pytest.mark.parametrize("head", sorted(HEADS))
@pytest.mark.parametrize("name", sorted(POLICIES))
def test_every_policy_conforms(name, head):
    config = POLICIES[name](head=head, image_size=16, channels=(4, 4, 4, 4))
    normalisation = Normalisation.identity(config.state_size, config.chunk_length)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_network(config, normalisation)
    check_policy(ChunkingPolicy(config, normalisation, network), num_steps=50)
