"""A policy on disk: a directory of three files, each readable without this package.

config.json         kind of policy and its configuration
statistics.json     the constants it normalises with
weights.safetensors its weights
"""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch

from steadyhand.contracts.catalog import lookup
from steadyhand.contracts.errors import DataError, storage_error
from steadyhand.models.normalisation import Normalisation
from steadyhand.models.policies.catalog import POLICIES
from steadyhand.models.policies.chunking import ChunkingConfig, ChunkingPolicy, build_network
from steadyhand.store.atomic import TEMPORARY_PREFIX, read_json, replace_directory, write_json
from steadyhand.store.tensors import read_tensors, write_tensors

POLICY_SCHEMA = 1
CONFIG, STATISTICS, WEIGHTS = "config.json", "statistics.json", "weights.safetensors"


def write_policy(directory: Path, policy: ChunkingPolicy) -> None:
    """Write a policy; the directory appears whole or not at all, equal policies as equal bytes.

    Args:
        directory: Its name; replaced if it exists.
        policy: The policy.

    Raises:
        StorageError: If writing failed; what was there before is intact.
    """
    directory = Path(directory)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=directory.parent))
    except OSError as error:
        raise storage_error(error, "writing a policy") from error
    try:
        name = next(n for n, config in POLICIES.items() if isinstance(policy.config, config))
        config = {"schema": POLICY_SCHEMA, "policy": name, "config": asdict(policy.config)}
        write_json(made / CONFIG, config)
        write_json(made / STATISTICS, policy.normalisation.to_json())
        weights = {k: v.numpy() for k, v in policy.network.state_dict().items()}
        write_tensors(made / WEIGHTS, weights, {"policy": name})
        made.chmod(0o755)
        replace_directory(made, directory)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def load_policy(directory: Path) -> ChunkingPolicy:
    """Build a policy from its directory.

    Raises:
        StorageError: If a file is missing.
        DataError: If a file is damaged, of another version, or does not fit the others.
    """
    directory = Path(directory)
    header = read_json(directory / CONFIG)
    config = _read_config(directory / CONFIG, header)
    normalisation = Normalisation.from_json(read_json(directory / STATISTICS))
    with torch.random.fork_rng(devices=[]):
        network = build_network(config, normalisation)
    weights, _ = read_tensors(directory / WEIGHTS)
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    given = {name: value.shape for name, value in weights.items()}
    if given != expected:
        wrong = sorted(n for n in given.keys() | expected if given.get(n) != expected.get(n))
        raise DataError(
            f"{directory / WEIGHTS} does not fit its {CONFIG}: {', '.join(wrong)} differ; "
            "the files come from different policies, copy the whole directory again"
        )
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return ChunkingPolicy(config, normalisation, network)


def _read_config(path: Path, header: Mapping[str, Any]) -> ChunkingConfig:
    """Read ``config.json``.

    Raises:
        DataError: On another schema, an unknown policy, or missing or surplus fields.
    """
    if not isinstance(header, dict) or header.get("schema") != POLICY_SCHEMA:
        raise DataError(
            f"{path} is not a policy of schema {POLICY_SCHEMA}; train it again with this version"
        )
    kind = lookup("policy", str(header.get("policy")), POLICIES)
    values = header.get("config")
    names = {f.name for f in fields(kind)}
    if not isinstance(values, dict) or set(values) != names:
        raise DataError(f"{path}: 'config' must have exactly the fields {sorted(names)}")
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return kind(**given)
