"""Verbs that put a recipe together: what the user sets wins, key by key."""

import pytest

from steadyhand.apps.cli.session import make_recipe
from steadyhand.contracts.errors import RecipeError, UnknownNameError
from steadyhand.jobs.overrides import read_settings


def make(tmp_path, *settings):
    stages = {
        "evaluate": {
            "kind": "evaluate",
            "policy": {"path": str(tmp_path)},
            "conditions": [{"task": "pick_place-hard"}],
            "loop": {"delay_ms": 40.0},
        }
    }
    return make_recipe("evaluate", 3, stages, read_settings(settings)).stages[0].config


def test_a_setting_changes_one_key_of_a_table_and_leaves_the_others(tmp_path):
    config = make(tmp_path, "evaluate.loop.control_rate_hz=20.0")
    assert (config.loop.control_rate_hz, config.loop.delay_ms) == (20.0, 40.0)
    assert config.conditions[0].task == "pick_place-hard"


def test_a_wrong_setting_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'evaluate'"):
        make(tmp_path, "evalute.loop.delay_ms=1.0")
    with pytest.raises(RecipeError, match="did you mean 'delay_ms'"):
        make(tmp_path, "evaluate.loop.dely_ms=1.0")
    with pytest.raises(RecipeError, match="is not KEY=VALUE"):
        make(tmp_path, "evaluate.loop.delay_ms")
