"""The real policy with random weights that matter: actions move and the grip opens and closes."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from steadyhand.contracts.bundle import ActionLimits
from steadyhand.contracts.seeds import seed_for_torch
from steadyhand.export.draft import BundleDescription
from steadyhand.export.graphs import export_parts
from steadyhand.export.quantise import QuantisationConfig
from steadyhand.export.samples import draw_samples
from steadyhand.export.variants import build_variants
from steadyhand.models.normalisation import Normalisation
from steadyhand.models.policies.chunking import ChunkingConfig, ChunkingPolicy, build_network

IN_A_NEW_PROCESS = """
import runpy, sys
from pathlib import Path
from steadyhand.export.graphs import export_parts
from steadyhand.export.quantise import QuantisationConfig
from steadyhand.export.samples import draw_samples
from steadyhand.export.variants import build_variants
test = runpy.run_path(sys.argv[1])
samples = draw_samples(test["record"](48), 32, 0, "calibration")
parts = export_parts(test["build_policy"](), Path(sys.argv[2]))
build_variants(parts, samples, Path(sys.argv[2]), QuantisationConfig())
"""
STATE, GRIP = "observation.state", "state.grip"


def build_policy(seed=0, head="mlp", image_size=64):
    """Build a policy of the shipped shape with weights drawn for this seed."""
    config = ChunkingConfig(head=head, image_size=image_size)
    normalisation = Normalisation(
        state_mean=(0.1,) * 12,
        state_std=(0.5,) * 12,
        motion_mean=((0.0, 0.01, 0.02, 0.0),) * 10,
        motion_std=tuple((0.01 * (i + 1),) * 4 for i in range(10)),
    )
    network = build_network(config, normalisation)
    generator = torch.Generator().manual_seed(seed_for_torch("test", seed))
    with torch.no_grad():
        # Spelled out, so that these numbers do not move with the initialisation for training.
        for name, weight in network.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if name.endswith("bias"):
                weight.copy_(noise * 0.05)
            elif name.endswith("sharpness"):
                weight.fill_(1.0)
            elif weight.ndim > 1:
                weight.copy_(noise * (2 / weight[0].numel()) ** 0.5)
        *_, last = (m for m in network.head.modules() if isinstance(m, torch.nn.Linear))
        last.weight.mul_(1.5)
    return ChunkingPolicy(config, normalisation, network)


def record(num_rows, size=64, seed=0):
    """Rows that look like recorded ones: images with structure, a state vector, a latch."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (num_rows, 2, 8, 8, 3))
    fine = coarse.repeat(size // 8, 2).repeat(size // 8, 3)
    images = np.clip(fine + rng.integers(-20, 20, fine.shape), 0, 255).astype(np.uint8)
    return {
        "observation.images.wrist": images[:, 0],
        "observation.images.scene": images[:, 1],
        STATE: rng.normal(0, 0.5, (num_rows, 12)).astype(np.float32),
        GRIP: rng.integers(0, 2, (num_rows, 1)).astype(np.float32),
    }


@pytest.fixture(scope="session")
def policy():
    return build_policy()


@pytest.fixture(scope="session")
def samples():
    return draw_samples(record(48), 32, 0, "calibration")


@pytest.fixture(scope="session")
def parts(policy, tmp_path_factory):
    return export_parts(policy, tmp_path_factory.mktemp("fp32"))


@pytest.fixture(scope="session")
def variants(parts, samples, tmp_path_factory):
    return build_variants(parts, samples, tmp_path_factory.mktemp("variants"), QuantisationConfig())


@pytest.fixture(scope="session")
def from_a_new_process(tmp_path_factory):
    """The directory of the same graphs, written by another process with another hash seed."""
    target = tmp_path_factory.mktemp("new_process")
    environment = os.environ | {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", IN_A_NEW_PROCESS, __file__, str(target)]
    subprocess.run(command, check=True, timeout=200, env=environment)
    return target


@pytest.fixture(scope="session")
def description():
    limits = ActionLimits(
        workspace_low_m=(-1.0, -1.0, 0.0),
        workspace_high_m=(1.0, 1.0, 1.0),
        linear_speed_m_s=1.0,
        yaw_rate_rad_s=2.0,
        joint_low_rad=(-2.0,) * 7,
        joint_high_rad=(2.0,) * 7,
        joint_speed_rad_s=(2.0,) * 7,
        gripper_low_m=0.0,
        gripper_high_m=0.08,
    )
    return BundleDescription(
        name="tiny",
        robot="panda",
        task="pick_place-plain",
        action_period_s=0.05,
        latency_budget_s=0.2,
        refill_threshold=0.5,
        limits=limits,
        statistics_sha256="0" * 64,
        provenance={"checkpoint": "1" * 64},
    )
