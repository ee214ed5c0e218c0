"""The signing key of a workspace: one, private, also after a kill while it was made."""

from steadyhand.jobs.signer import NAME, PRIVATE, PUBLIC, signing_key, trusted_keys
from steadyhand.store.signing import create_key


def test_a_workspace_has_one_key_that_only_its_owner_can_read(tmp_path):
    first = signing_key(tmp_path)
    assert signing_key(tmp_path) == first
    assert (tmp_path / f"{NAME}{PRIVATE}").stat().st_mode & 0o077 == 0


def test_a_key_that_was_never_finished_is_made_again(tmp_path):
    (tmp_path / f"{NAME}{PRIVATE}").touch(mode=0o600)
    assert signing_key(tmp_path).raw


def test_own_key_and_public_keys_put_there_are_trusted_and_no_others(tmp_path):
    assert trusted_keys(tmp_path) == ()
    own = signing_key(tmp_path).public
    other = create_key(tmp_path / "elsewhere", "partner")
    source = tmp_path / "elsewhere" / f"partner{PUBLIC}"
    (tmp_path / f"partner{PUBLIC}").write_bytes(source.read_bytes())
    assert {key.key_id for key in trusted_keys(tmp_path)} == {own.key_id, other.key_id}


def test_a_lost_public_file_does_not_lock_the_workspace_out(tmp_path):
    own = signing_key(tmp_path).public
    (tmp_path / f"{NAME}{PUBLIC}").unlink()
    assert trusted_keys(tmp_path) == (own,)
