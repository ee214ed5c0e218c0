"""Past runs: found by name, shown, compared value by value."""

import json

import pytest
from toy_run import run_toy
from toy_stages import write_recipe

from steadyhand.contracts.errors import DataError, UnknownNameError
from steadyhand.jobs.history import compare_runs, find_run, list_runs, read_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two finished runs that differ in one value."""
    root = tmp_path_factory.mktemp("history")
    for override in ("sum.offset=0.0", "sum.offset=1.5"):
        run_toy(root / "workspace", write_recipe(root), [override])
    return root / "workspace" / "runs"


def test_runs_are_found_by_name_beginning_and_directory(runs):
    past = list_runs(runs)
    assert len(past) == 2
    assert all(run.manifest.finished for run in past)
    newest = past[0]
    assert find_run(newest.path.name, runs).path == newest.path
    assert find_run("toy", runs).path == newest.path
    assert find_run(str(newest.path), runs).path == newest.path
    with pytest.raises(UnknownNameError, match="unknown run 'tpy"):
        find_run("tpy", runs)


def test_a_comparison_names_exactly_what_differs(runs):
    second, first = list_runs(runs)
    changes = {
        change.place: (change.first, change.second) for change in compare_runs(first, second)
    }
    assert changes.pop("recipe.stages.sum.offset") == (0.0, 1.5)
    assert set(changes) == {"stages.sum.artifact", "stages.gate.artifact"}
    assert compare_runs(first, first) == []


def test_a_directory_that_is_no_run_is_refused(tmp_path):
    assert list_runs(tmp_path / "none") == []
    with pytest.raises(DataError, match="is no run directory"):
        read_run(tmp_path)


def test_the_run_says_when_it_was_not_finished(runs, tmp_path):
    source = list_runs(runs)[0].path
    for name in ("manifest.json", "recipe.json"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "finished": False}))
    past = read_run(tmp_path)
    assert not past.manifest.finished
    assert past.outcomes == {}
