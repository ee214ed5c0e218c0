"""Only unchanged bytes, signed by a trusted key, pass."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steadyhand.contracts.errors import IntegrityError, StorageError, UsageError
from steadyhand.store.signing import (
    PrivateKey,
    create_key,
    load_private_key,
    load_public_key,
    sign,
    verify,
)

KEY = PrivateKey("test", bytes(range(32)))


def test_a_key_pair_comes_back_from_its_files_and_is_private(tmp_path):
    public = create_key(tmp_path, "release")
    private = load_private_key(tmp_path / "release.private.json")
    assert private.public == public == load_public_key(tmp_path / "release.public.json")
    assert (tmp_path / "release.private.json").stat().st_mode & 0o777 == 0o600
    with pytest.raises(StorageError, match="exists; choose another name"):
        create_key(tmp_path, "release")


def test_the_signature_is_the_published_one():
    """RFC 8032, section 7.1, test 2."""
    raw = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    key = PrivateKey("rfc", raw)
    expected = (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert key.public.raw.hex().startswith("3d4017c3e843895a")
    assert base64.b64decode(sign(b"\x72", key)["signature"]).hex() == expected


@settings(deadline=None)
@given(st.binary(min_size=1), st.integers(0), st.integers(0, 7))
def test_any_flipped_bit_is_refused(data, place, bit):
    signature = sign(data, KEY)
    assert verify(data, signature, [KEY.public]) == KEY.public
    changed = bytearray(data)
    changed[place % len(data)] ^= 1 << bit
    with pytest.raises(IntegrityError, match="changed after signing"):
        verify(bytes(changed), signature, [KEY.public])


def test_an_untrusted_key_is_named_with_the_trusted_ones():
    other = PrivateKey("other", bytes(32))
    with pytest.raises(IntegrityError, match="not trusted here; trusted: test"):
        verify(b"x", sign(b"x", other), [KEY.public])
    with pytest.raises(IntegrityError, match="trusted: none"):
        verify(b"x", sign(b"x", other), [])


@pytest.mark.parametrize("signature", [{}, {"algorithm": "ed25519", "key_id": "a", "signature": 3}])
def test_a_malformed_signature_is_refused(signature):
    with pytest.raises(IntegrityError, match="malformed"):
        verify(b"x", signature, [KEY.public])


def test_a_file_that_is_no_key_is_refused(tmp_path):
    (tmp_path / "k.json").write_text(
        '{"algorithm": "rsa", "key": "AAAA", "kind": "public", "name": "k"}'
    )
    with pytest.raises(IntegrityError, match="no ed25519 key"):
        load_public_key(tmp_path / "k.json")


def test_a_missing_signature_says_so():
    with pytest.raises(IntegrityError, match="there is no signature; sign it"):
        verify(b"x", None, [KEY.public])


def test_another_algorithm_is_refused():
    signature = {**sign(b"x", KEY), "algorithm": "none"}
    with pytest.raises(IntegrityError, match="'none'; this version verifies ed25519 only"):
        verify(b"x", signature, [KEY.public])


def test_a_signature_under_the_name_of_a_trusted_key_is_refused():
    forged = {**sign(b"x", PrivateKey("other", bytes(32))), "key_id": KEY.public.key_id}
    with pytest.raises(IntegrityError, match="does not match"):
        verify(b"x", forged, [KEY.public])


def test_one_of_several_trusted_keys_is_enough():
    other = PrivateKey("other", bytes(32))
    assert verify(b"x", sign(b"x", other), [KEY.public, other.public]) == other.public


def test_the_secret_is_in_no_repr():
    assert repr(KEY) == "PrivateKey(name='test')"


def test_a_private_and_a_public_key_are_not_taken_for_one_another(tmp_path):
    create_key(tmp_path, "release")
    with pytest.raises(IntegrityError, match="holds a private key, a public one is needed"):
        load_public_key(tmp_path / "release.private.json")
    with pytest.raises(IntegrityError, match="holds a public key, a private one is needed"):
        load_private_key(tmp_path / "release.public.json")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x"])
def test_the_name_of_a_key_is_a_plain_one(tmp_path, name):
    with pytest.raises(UsageError, match="cannot name a key"):
        create_key(tmp_path, name)
    assert list(tmp_path.iterdir()) == []
