"""The command line: help, near matches, exit codes, one line per error, JSON on stdout."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from steadyhand.apps.cli.main import main
from steadyhand.apps.cli.reference import help_text, render

ROOT = Path(__file__).parents[3]
VERBS = [
    ("run",),
    ("record",),
    ("train",),
    ("eval",),
    ("export",),
    ("drive",),
    ("replay",),
    ("data", "check"),
    ("data", "info"),
    ("data", "repair"),
    ("data", "split"),
    ("runs", "list"),
    ("runs", "show"),
    ("runs", "compare"),
    ("runs", "tensorboard"),
]


def steady(capsys, *arguments):
    """Return exit code, stdout and stderr of one command."""
    code = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_with_an_example(verb):
    text = help_text(verb)
    assert "For example:" in text
    assert f"steady {' '.join(verb)}" in text.partition("For example:")[2]
    assert "--json" in text


def test_without_arguments_it_shows_the_verbs_and_how_to_start(capsys):
    _, out, err = steady(capsys)
    assert "steady run recipes/demo.toml" in out + err
    assert all(verb[0] in out + err for verb in VERBS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rn"], "Did you mean 'run'"),
        (["data", "chek"], "Did you mean 'check'"),
        (["run", "--workspce", "x", "r.toml"], "--workspace"),
        (["run"], "Missing argument 'RECIPE'"),
        (["record", "--task", "pick_place-hrd", "--out", "x"], "did you mean 'pick_place-hard'?"),
        (["runs", "show", "nothing"], "unknown run 'nothing'"),
        (["run", "no.toml"], "recipe 'no.toml' does not exist"),
    ],
)
def test_a_wrong_request_exits_with_2_and_helps(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = steady(capsys, *arguments)
    assert code == 2
    assert message in err
    assert out == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["data", "info", "."], 3, "error: "),
        (["drive", "."], 2, "no key is trusted"),
        (["runs", "list", "--json"], 0, ""),
    ],
)
def test_exit_codes_follow_the_error_tree(capsys, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    given, _, err = steady(capsys, *arguments)
    assert given == code
    assert message in err
    assert "Traceback" not in err


def test_a_place_that_cannot_be_written_exits_with_5_and_names_it(capsys, tmp_path):
    (tmp_path / "file").write_text("x")
    recipe = ROOT / "recipes" / "smoke.toml"
    code, _, err = steady(capsys, "run", recipe, "--workspace", tmp_path / "file" / "workspace")
    assert code == 5
    assert str(tmp_path / "file") in err


def test_debug_shows_the_traceback_wherever_it_stands(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = steady(capsys, "run", "no.toml", "--debug")
    assert code == 2
    assert "Traceback" in err
    assert err.rstrip().splitlines()[-1].startswith("error: recipe 'no.toml'")


def test_the_shipped_recipes_are_valid_and_state_all_stages():
    from steadyhand.jobs.recipe import read_recipe
    from steadyhand.jobs.stages.catalog import STAGES

    for path in (ROOT / "recipes").glob("*.toml"):
        kinds = [stage.kind for stage in read_recipe(path, STAGES).stages]
        assert kinds == list(STAGES)


def test_record_info_check_and_split_work_on_a_small_dataset(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record = ["record", "--task", "pick_place-plain", "--out", "set", "--json"]
    code, out, err = steady(capsys, *record, "--episodes", 2, "--workers", 1)
    assert (code, json.loads(out)["num_episodes"]) == (0, 2), err
    code, out, err = steady(capsys, *record, "--episodes", 3, "--workers", 1)
    assert (code, json.loads(out)["num_episodes"]) == (0, 3), err
    assert "record 3/3 episodes" in err
    code, out, _ = steady(capsys, "data", "info", "set", "--json")
    assert (code, json.loads(out)["fps"]) == (0, 20)
    code, out, err = steady(capsys, "data", "check", "set", "--json")
    assert code == 4
    assert "episodes per cluster" in err
    assert any(not row["passed"] for row in json.loads(out)["rows"])
    code, out, err = steady(capsys, "data", "check", "set", "--set", "min_per_clustr=1")
    assert code == 2
    assert "did you mean 'min_per_cluster'?" in err
    code, out, _ = steady(capsys, "data", "split", "set", "--out", "split.json", "--json")
    assert code == 0
    assert json.loads(Path("split.json").read_text())["split"]["train"] == [0, 1, 2]
    code, out, _ = steady(capsys, "data", "repair", "set", "--json")
    assert (code, json.loads(out)["kept"]) == (0, 3)
    code, _, err = steady(capsys, *record, "--episodes", 2, "--seed", 5, "--workers", 1)
    assert code == 2
    assert "holds other episodes" in err


def test_the_reference_in_the_docs_is_what_the_command_says():
    assert (ROOT / "docs" / "cli.md").read_text() == render(), "run: make docs"


def test_help_loads_no_heavy_library():
    script = (
        "import sys; from steadyhand.apps.cli.main import main; main(['--help']);"
        "heavy = {'torch', 'mujoco', 'pyarrow', 'av', 'onnxruntime', 'matplotlib'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_version_is_printed(capsys):
    code, out, _ = steady(capsys, "--version")
    assert (code, out.split()[0]) == (0, "steadyhand")
