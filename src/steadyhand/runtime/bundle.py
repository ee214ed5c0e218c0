"""Load a bundle, or say exactly why not.

Nothing of a bundle is used before its signature and every hash have been checked, and nothing is
commanded before it has repeated its golden outputs on this machine.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from steadyhand.contracts.bundle import BundleManifest, BundlePart
from steadyhand.contracts.engine import Engine
from steadyhand.contracts.errors import (
    DataError,
    IntegrityError,
    RefusedError,
    UsageError,
    storage_error,
)
from steadyhand.runtime.bundle_policy import ACTIONS, NEXT, BundlePolicy
from steadyhand.runtime.engines.catalog import CATALOG
from steadyhand.store.canonical import digest
from steadyhand.store.signing import PublicKey, verify
from steadyhand.store.tensors import read_tensors

MANIFEST, GOLDEN, SIGNATURE = "manifest.json", "golden.safetensors", "signature.json"

# Largest difference [m, rad or 1] from the golden outputs: another processor rounds differently,
# and in int8 a rounding can move a value by one step of its scale.
_TOLERANCE = {"fp32": 1e-3, "fp16": 5e-3, "int8": 2e-2}


@dataclass(frozen=True, slots=True)
class LoadedBundle:
    """A verified bundle.

    Args:
        manifest: What it declares.
        digest: SHA-256 of its manifest, which is the digest of the bundle.
        policy: Its graphs, ready to run.
        key_id: The key that signed it.
    """

    manifest: BundleManifest
    digest: str
    policy: BundlePolicy
    key_id: str


@dataclass(frozen=True, slots=True)
class VerifiedBundle:
    """A bundle whose bytes are what somebody trusted has signed; nothing is loaded yet.

    Args:
        manifest: What it declares.
        digest: SHA-256 of its manifest.
        files: Bytes of every part, by file name.
        key_id: The key that signed it.
    """

    manifest: BundleManifest
    digest: str
    files: dict[str, bytes]
    key_id: str


def verify_bundle(directory: Path, trusted_keys: Sequence[PublicKey]) -> VerifiedBundle:
    """Check signature, manifest and hashes of a bundle.

    Args:
        directory: The bundle.
        trusted_keys: Keys whose signature is accepted; at least one.

    Returns:
        The manifest and the verified bytes.

    Raises:
        UsageError: If there is no such bundle, or no key is trusted.
        IntegrityError: If the signature or a hash does not match, or a file is missing or surplus.
        DataError: If the manifest cannot be read.
    """
    if not trusted_keys:
        raise UsageError("no key is trusted, so no bundle can be; pass the signer's public key")
    if not (directory / MANIFEST).is_file():
        raise UsageError(f"{directory} is no bundle: it holds no {MANIFEST}; check the path")
    if not (directory / SIGNATURE).is_file():
        raise IntegrityError(f"bundle {directory} is not signed: {SIGNATURE} is missing; sign it")
    data = _read(directory / MANIFEST)
    try:
        signature = json.loads(_read(directory / SIGNATURE))
    except ValueError as error:
        raise IntegrityError(
            f"bundle {directory}: {SIGNATURE} is damaged; sign it again"
        ) from error
    try:
        key = verify(data, signature, trusted_keys)
    except IntegrityError as error:
        raise IntegrityError(f"bundle {directory}: {error}") from error
    try:
        manifest = BundleManifest.from_json(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"bundle {directory}: {MANIFEST} cannot be read: {error!r}") from error
    hashes = {part.file: part.sha256 for part in manifest.parts}
    hashes[GOLDEN] = manifest.golden_sha256
    _check_names(directory, set(hashes) | {MANIFEST, SIGNATURE})
    files: dict[str, bytes] = {}
    for name, expected in hashes.items():
        files[name] = _read(directory / name)
        found = digest(files[name])
        if found != expected:
            raise IntegrityError(
                f"bundle {directory}: {name} was changed or damaged (sha256 {found[:12]}…, the "
                f"signed manifest says {expected[:12]}…); copy the bundle again"
            )
    return VerifiedBundle(manifest, digest(data), files, key.key_id)


def load_bundle(
    directory: Path, trusted_keys: Sequence[PublicKey], *, self_test: bool = True
) -> LoadedBundle:
    """Verify a bundle, load its graphs and repeat its golden outputs.

    Args:
        directory: The bundle.
        trusted_keys: Keys whose signature is accepted; at least one.
        self_test: Compare with the golden outputs; leave it on for anything that moves.

    Returns:
        The bundle, ready to run.

    Raises:
        UsageError: If there is no such bundle, or no key is trusted.
        IntegrityError: If bytes are not what was signed.
        DataError: If the graphs do not fit the manifest.
        RefusedError: If precision or golden outputs differ on this machine.
    """
    verified = verify_bundle(directory, trusted_keys)
    manifest = verified.manifest
    engines = [_load_part(p, verified.files[p.file]) for p in manifest.parts]
    policy = BundlePolicy(manifest, engines)
    if self_test:
        _self_test(manifest, policy, directory / GOLDEN)
    return LoadedBundle(manifest, verified.digest, policy, verified.key_id)


def _load_part(part: BundlePart, data: bytes) -> Engine:
    try:
        engine = CATALOG["onnxruntime"](data)
    except DataError as error:
        raise DataError(f"bundle part {part.name!r} ({part.file}): {error}") from error
    for kind, declared, found in (
        ("inputs", part.inputs, engine.input_specs),
        ("outputs", part.outputs, engine.output_specs),
    ):
        expected = [(s.name, s.shape, s.dtype) for s in declared]
        actual = [(s.name, s.shape, s.dtype) for s in found.values()]
        if expected != actual:
            raise DataError(
                f"bundle part {part.name!r}: the manifest declares {kind} {expected}, the graph "
                f"has {actual}; export the bundle again"
            )
    if engine.precision != part.precision:
        raise RefusedError(
            f"bundle part {part.name!r} declares {part.precision}, but this engine computes it in "
            f"{engine.precision}, so the evidence in the bundle does not apply here; export it for "
            "this engine"
        )
    return engine


def _self_test(manifest: BundleManifest, policy: BundlePolicy, path: Path) -> None:
    """Repeat the golden outputs.

    Raises:
        DataError: If the golden values are incomplete.
        RefusedError: If an output differs by more than the tolerance of the lowest precision.
    """
    golden, _ = read_tensors(path)
    names = [*policy.observation_specs, *policy.state_specs]
    outputs = [ACTIONS, *(NEXT + s for s in policy.state_specs)]
    wanted = {f"inputs/{n}" for n in names} | {f"outputs/{n}" for n in outputs}
    counts = {len(golden[n]) for n in wanted if n in golden}
    if wanted - set(golden) or len(counts) != 1 or counts == {0}:
        raise DataError(
            f"bundle {manifest.name!r}: {GOLDEN} needs {sorted(wanted)} with equal counts; it "
            f"lacks {sorted(wanted - set(golden))}. Export the bundle again"
        )
    tolerance = max(_TOLERANCE[p.precision] for p in manifest.parts)
    for i in range(counts.pop()):
        known = policy.run_parts({n: golden[f"inputs/{n}"][i] for n in names})
        for name in outputs:
            expected = golden[f"outputs/{name}"][i].astype(np.float64)
            difference = np.abs(known[name].reshape(expected.shape) - expected)
            # Written so that NaN fails, too.
            if not (difference <= tolerance * (1 + np.abs(expected))).all():
                raise RefusedError(
                    f"bundle {manifest.name!r}: golden sample {i}, output {name!r} differs by "
                    f"{float(difference.max()):.3g} (allowed {tolerance:g}); this machine does not "
                    "compute what was evaluated, so it must not run it"
                )


def _check_names(directory: Path, expected: set[str]) -> None:
    found = {p.name for p in directory.iterdir()}
    missing, surplus = expected - found, found - expected
    if missing:
        raise IntegrityError(f"bundle {directory}: {sorted(missing)} missing; copy it again")
    if surplus:
        raise IntegrityError(
            f"bundle {directory}: {sorted(surplus)} is in no manifest; nobody vouches for it. "
            "Remove it, or copy the bundle again"
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise storage_error(error, f"reading {path.name}") from error
