"""Recipes: what is read, what is refused, and how the message helps."""

import pytest
import toy_stages
from toy_stages import RECIPE, TOYS, write_recipe

from steadyhand.contracts.errors import RecipeError, StorageError, UnknownNameError
from steadyhand.jobs.recipe import read_recipe


def read(tmp_path, text=RECIPE, overrides=()):
    return read_recipe(write_recipe(tmp_path, text), TOYS, overrides)


def test_a_recipe_becomes_typed_stages_in_order_of_their_inputs(tmp_path):
    parts = RECIPE.strip().split("\n\n")
    backwards = "\n\n".join([parts[0], *reversed(parts[1:])])
    recipe = read(tmp_path, backwards)
    assert [stage.name for stage in recipe.stages] == ["count", "sum", "gate"]
    assert recipe.stages[1].config == toy_stages.SumConfig(power=toy_stages.Power(exponent=1))
    assert recipe.stages[1].inputs == {"numbers": "count"}


def test_the_resolved_recipe_holds_every_default_and_reads_back_as_itself(tmp_path):
    recipe = read(tmp_path)
    resolved = recipe.to_json()
    assert resolved["stages"]["sum"] == {
        "kind": "add",
        "numbers": "count",
        "power": {"exponent": 1},
        "offset": 0.0,
    }
    from steadyhand.jobs.recipe import build_recipe

    assert build_recipe(resolved, TOYS, "resolved", tmp_path) == recipe


def test_a_comment_changes_no_digest_and_a_value_does(tmp_path):
    before = read(tmp_path).digest
    assert read(tmp_path, "# a comment\n" + RECIPE).digest == before
    assert read(tmp_path, overrides=["count.num_items=8"]).digest == before
    assert read(tmp_path, overrides=["count.num_items=9"]).digest != before


@pytest.mark.parametrize(
    ("overrides", "place", "expected"),
    [
        (["count.num_items=12"], "num_items", 12),
        (["count.pause_s=1e-3"], "pause_s", 0.001),
        (['count.tags=["a", "b"]'], "tags", ("a", "b")),
        (["count.num_items=1", "count.num_items=2"], "num_items", 2),
    ],
)
def test_an_override_changes_one_value(tmp_path, overrides, place, expected):
    config = read(tmp_path, overrides=overrides).stages[0].config
    assert getattr(config, place) == expected


def test_overrides_reach_nested_tables_the_seed_and_the_name(tmp_path):
    recipe = read(tmp_path, overrides=["sum.power.exponent=5", "seed=11", "name=other"])
    assert recipe.stages[1].config.power.exponent == 5
    assert (recipe.seed, recipe.name) == (11, "other")


def test_an_input_may_be_a_directory_beside_the_recipe(tmp_path):
    (tmp_path / "numbers").mkdir()
    text = RECIPE.replace('numbers = "count"', 'numbers = {path = "numbers"}')
    assert read(tmp_path, text).stages[1].inputs == {"numbers": (tmp_path / "numbers").resolve()}


WRONG = [
    ("num_items = 8", "num_itms = 8", r"toy.toml: stages.count: unknown key 'num_itms'; did you"),
    (
        "num_items = 8",
        "nu = 8",
        r"unknown key 'nu'; known keys: kind, num_items, pause_s, payload_bytes, tags",
    ),
    ("num_items = 8", 'num_items = "8"', r"'num_items' should be a valid integer; given '8' \(str"),
    ("num_items = 8", "num_items = true", r"'num_items' should be a valid integer; given True"),
    ("num_items = 8", "num_items = 2.5", r"'num_items' should be a valid integer; given 2.5"),
    ("num_items = 8", "num_items = 0", r"stages.count: num_items must be at least 1, got 0"),
    ("num_items = 8", "pause_s = nan", r"stages.count: .*use numbers"),
    ("num_items = 8", "pause_s = 1979-05-27", r"stages.count: .*date is not JSON serializable"),
    ("num_items = 8", "tags = [1]", r"'tags.0' should be a valid string; given 1 \(int\)"),
    ("{exponent = 1}", "{exponnt = 1}", r"stages.sum.power: unknown key 'exponnt'; did you mean"),
    ("{exponent = 1}", "3", r"'power'.*given 3 \(int\)"),
    ('kind = "count"', 'kind = "cuont"', r"unknown stage kind 'cuont'; did you mean 'count'\?"),
    ('kind = "count"', "", r"stages.count: 'kind' must be one of count, add, gate; given None"),
    ('numbers = "count"', "numbers =", r"toy.toml' is not valid TOML"),
    ('numbers = "count"', 'numbers = "coun"', r"stages.sum.numbers: unknown stage 'coun'; did you"),
    ('numbers = "count"', "", r"stages.sum: missing input 'numbers'; name a stage of kind count"),
    ('numbers = "count"', 'numbers = "gate"', r"stage 'gate' is of kind 'gate'; expected count"),
    ('numbers = "count"', "numbers = 3", r"must be the name of a stage or .*given 3"),
    ('numbers = "count"', 'numbers = {path = "nowhere"}', r"nowhere' does not exist"),
    ('total = "sum"', 'total = "sum"\nagain = "gate"', r"wait for one another: gate -> gate"),
    ("schema = 1", "schema = 2", r"'schema' is 2; this version reads schema = 1"),
    ("schema = 1", "", r"'schema' is None"),
    ("seed = 3", "seed = -1", r"'seed' must be an integer from 0"),
    ("seed = 3", 'seed = "3"', r"'seed' must be an integer from 0"),
    ('name = "toy"', 'name = "a/b"', r"'name' must be a word"),
    ("seed = 3", "seeed = 3", r"unknown key 'seeed'; did you mean 'seed'\?"),
    ("[stages.sum]", "[stages.'a/b']", r"stages.a/b: a stage's name is a word"),
]


@pytest.mark.parametrize(("right", "wrong", "message"), WRONG)
def test_a_wrong_recipe_says_where_and_what_to_write(tmp_path, right, wrong, message):
    assert right in RECIPE
    with pytest.raises((RecipeError, UnknownNameError), match=message) as caught:
        read(tmp_path, RECIPE.replace(right, wrong))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("count.num_items", r"is not KEY=VALUE; write for example --set train.steps=1500"),
        ("cuont.num_items=3", r"unknown stage 'cuont'; did you mean 'count'\?"),
        ("num_items=3", r"'num_items' names no value; write STAGE.KEY=VALUE .*count, gate, sum"),
        ("count.num_items.x=3", r"'num_items' is a value, not a table"),
        ("count.num_itms=3", r"unknown key 'num_itms'"),
        ("count.num_items=many", r"'num_items' should be a valid integer; given 'many'"),
    ],
)
def test_a_wrong_override_is_refused(tmp_path, override, message):
    with pytest.raises((RecipeError, UnknownNameError), match=message):
        read(tmp_path, overrides=[override])


def test_a_recipe_without_stages_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"no \[stages.NAME\] table"):
        read(tmp_path, 'schema = 1\nname = "x"\nseed = 1\n')


def test_a_missing_recipe_names_those_that_are_there(tmp_path):
    write_recipe(tmp_path)
    with pytest.raises(RecipeError, match=r"toys.toml' does not exist; recipes there: .*toy.toml"):
        read_recipe(tmp_path / "toys.toml", TOYS)
    with pytest.raises(RecipeError, match=r"does not exist$"):
        read_recipe(tmp_path / "no" / "toys.toml", TOYS)


def test_a_directory_is_no_recipe(tmp_path):
    with pytest.raises(StorageError, match=r"reading recipe"):
        read_recipe(tmp_path, TOYS)


def test_no_stage_has_an_input_and_a_configuration_key_of_the_same_name():
    for stage in TOYS.values():
        assert not {*stage.slots, "kind"} & set(stage.config.__dataclass_fields__)
