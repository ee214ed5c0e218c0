"""What a key once led to is never replaced."""

import json

import pytest

from steadyhand.contracts.errors import DataError, UsageError
from steadyhand.store.actions import ActionCache


@pytest.mark.parametrize("key", ["", "../x", "/etc/x", ".hidden"])
def test_a_key_cannot_leave_the_cache(tmp_path, key):
    with pytest.raises(UsageError, match="no plain name"):
        ActionCache(tmp_path).put(key, {})


def test_a_damaged_record_is_named(tmp_path):
    (tmp_path / "k.json").write_text("[]")
    with pytest.raises(DataError, match=r"k\.json is no action record"):
        ActionCache(tmp_path).get("k")


def test_what_is_recorded_is_canonical(tmp_path):
    ActionCache(tmp_path).put("k", {"b": 1, "a": (2,)})
    assert (tmp_path / "k.json").read_text() == '{"a":[2],"b":1}\n'
    ActionCache(tmp_path).put("k", {"a": [2], "b": 1})
    assert json.loads((tmp_path / "k.json").read_text()) == ActionCache(tmp_path).get("k")
