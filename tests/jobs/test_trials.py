"""Policies that are tried: where they lie, and what happens where there is none."""

import pytest

from steadyhand.contracts.errors import UsageError
from steadyhand.jobs.families import PURPOSES, family
from steadyhand.jobs.trials import is_bundle, policy_directory


def test_a_policy_is_found_in_a_directory_or_inside_of_an_artifact(tmp_path):
    for place in (tmp_path / "plain", tmp_path / "artifact" / "policy"):
        place.mkdir(parents=True)
        (place / "config.json").write_text("{}")
    assert policy_directory(tmp_path / "plain") == tmp_path / "plain"
    assert policy_directory(tmp_path / "artifact") == tmp_path / "artifact" / "policy"
    with pytest.raises(UsageError, match=r"holds no policy: no config.json"):
        policy_directory(tmp_path)


def test_a_bundle_is_known_by_its_manifest(tmp_path):
    assert not is_bundle(tmp_path)
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "manifest.json").write_text("{}")
    assert is_bundle(tmp_path)


def test_no_two_purposes_and_no_two_recipes_share_a_family():
    families = [family(seed, purpose) for seed in range(50) for purpose in PURPOSES]
    assert len(set(families)) == len(families)
