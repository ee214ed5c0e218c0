"""Runs: what is reused, what survives a kill, what is refused, what a directory of a run holds."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from toy_run import Recorder, run_toy
from toy_stages import write_recipe

from steadyhand.contracts.errors import RefusedError, StageError, StorageError, UsageError
from steadyhand.jobs.metrics import read_metrics


def made(observer):
    return [name for event, name, *_ in observer.events if event == "made"]


def reused(observer):
    return [name for event, name, *_ in observer.events if event == "reused"]


def run(tmp_path, *overrides, workspace="workspace"):
    observer = Recorder()
    directory = run_toy(tmp_path / workspace, write_recipe(tmp_path), overrides, observer)
    return directory, observer


def outputs(directory):
    return json.loads((directory.path / "outputs.json").read_text())


def test_a_run_executes_every_stage_and_says_what_came_out(tmp_path):
    directory, observer = run(tmp_path)
    assert made(observer) == ["count", "sum", "gate"]
    assert directory.path.name.startswith("toy-")
    assert [o.headline for o in directory.outcomes] == ["8 items", "total 140", "passed"]
    manifest = json.loads((directory.path / "manifest.json").read_text())
    assert manifest["finished"] is True
    assert (directory.path / "gate" / "report.html").read_text() == "<p>140.0</p>"
    assert directory.report == directory.path / "gate" / "report.html"
    assert "count" in (directory.path / "log.txt").read_text()
    assert json.loads((directory.path / "recipe.json").read_text())["stages"]["count"] == {
        "kind": "count",
        "num_items": 8,
        "pause_s": 0.0,
        "payload_bytes": 0,
        "tags": [],
    }


def test_the_second_run_reuses_everything(tmp_path):
    first, _ = run(tmp_path)
    before = outputs(first)
    second, observer = run(tmp_path)
    assert made(observer) == []
    assert reused(observer) == ["count", "sum", "gate"]
    assert outputs(second) == before
    assert second.outcomes[1].facts == {"total": 140}


def test_only_what_depends_on_a_change_is_executed_again(tmp_path):
    run(tmp_path)
    _, observer = run(tmp_path, "sum.offset=1.0")
    assert (reused(observer), made(observer)) == (["count"], ["sum", "gate"])
    _, observer = run(tmp_path, "seed=4")
    assert made(observer) == ["count", "sum", "gate"]


def test_a_change_that_leads_to_the_same_bytes_stops_there(tmp_path):
    run(tmp_path)
    _, observer = run(tmp_path, "count.pause_s=0.001")
    assert (made(observer), reused(observer)) == (["count"], ["sum", "gate"])


def test_measurements_are_kept_and_change_no_hash(tmp_path):
    first, _ = run(tmp_path, workspace="one")
    second, _ = run(tmp_path, workspace="two")
    assert outputs(first) == outputs(second)
    measured = [d.outcomes[0].measurements for d in (first, second)]
    assert None not in measured
    assert measured[0] != measured[1]


def test_metrics_are_appended_once_per_step_and_copied_into_runs_that_reuse(tmp_path):
    first, _ = run(tmp_path)
    lines = read_metrics(first.path / "metrics.jsonl")
    assert [(line["stage"], line["step"]) for line in lines] == [("count", i) for i in range(8)]
    run(tmp_path)
    assert read_metrics(first.path / "metrics.jsonl") == lines
    other, _ = run(tmp_path, "sum.offset=1.0")
    assert read_metrics(other.path / "metrics.jsonl") == lines


def test_a_damaged_artifact_is_made_again(tmp_path):
    first, _ = run(tmp_path)
    before = outputs(first)
    objects = tmp_path / "workspace" / "objects"
    trees = tmp_path / "workspace" / "trees"
    for path in [*objects.rglob("*"), *trees.rglob("*")]:
        if path.is_file() and b"value" in path.read_bytes():
            path.chmod(0o644)
            path.write_bytes(b"flipped")
    again, observer = run(tmp_path)
    assert "count" in made(observer)
    assert any("cannot be reused" in str(e) for e in observer.events)
    assert outputs(again) == before
    _, observer = run(tmp_path)
    assert made(observer) == []


def test_a_changed_checkout_is_restored_from_the_store(tmp_path):
    first, _ = run(tmp_path)
    tree = tmp_path / "workspace" / "trees" / first.outcomes[0].digest
    (tree / "0000.json").chmod(0o644)
    (tree / "0000.json").write_text("{}")
    _, observer = run(tmp_path)
    assert made(observer) == []
    assert any("was changed; it is restored" in str(e) for e in observer.events)


def test_a_refusal_ends_the_run_and_what_came_before_is_kept(tmp_path):
    with pytest.raises(RefusedError, match=r"the total 140\.0 is above 5"):
        run(tmp_path, "gate.limit=5")
    (directory,) = (tmp_path / "workspace" / "runs").iterdir()
    assert json.loads((directory / "manifest.json").read_text())["finished"] is False
    assert "RefusedError" in (directory / "log.txt").read_text()
    _, observer = run(tmp_path)
    assert (reused(observer), made(observer)) == (["count", "sum"], ["gate"])


def test_a_bug_in_a_stage_is_a_stage_error_and_its_traceback_is_in_the_log(tmp_path):
    with pytest.raises(StageError, match="stage 'gate' failed: ZeroDivisionError: a bug in the"):
        run(tmp_path, 'gate.accident="bug"')
    (directory,) = (tmp_path / "workspace" / "runs").iterdir()
    assert "toy_stages.py" in (directory / "log.txt").read_text()


def test_an_error_of_the_file_system_names_the_path_and_the_fix(tmp_path):
    with pytest.raises(StorageError, match=r"stage 'gate' failed at .*no such file or directory"):
        run(tmp_path, 'gate.accident="disk"')


def test_a_workspace_without_permission_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=r"opening workspace .*file"):
        run(tmp_path, workspace="file")


def test_the_same_recipe_twice_at_once_is_refused(tmp_path):
    directory, _ = run(tmp_path)
    lock = tmp_path / "workspace" / "locks" / f"run-{directory.path.name}.lock"
    holder = os.open(lock, os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        with pytest.raises(
            UsageError, match=r"run 'toy-.*is being executed by process \d+ already"
        ):
            run(tmp_path)
        run(tmp_path, "sum.offset=1.0")
    finally:
        os.close(holder)
    run(tmp_path)


def start(tmp_path, workspace):
    command = [sys.executable, str(Path(__file__).parent / "toy_run.py"), str(tmp_path / workspace)]
    recipe = [str(write_recipe(tmp_path)), "count.num_items=40", "count.pause_s=0.04"]
    return subprocess.Popen([*command, *recipe], stderr=subprocess.PIPE, text=True)


def test_killed_at_random_moments_it_ends_with_the_same_artifacts(tmp_path):
    """The moments cover start-up, counting and storing: 0.2 to 1.2 s of a run of 2 s."""
    settings = ("count.num_items=40", "count.pause_s=0.04")
    expected, _ = run(tmp_path, *settings, workspace="undisturbed")
    rng = np.random.default_rng(5)
    num_killed = 0
    for delay_s in rng.uniform(0.2, 1.2, size=7):
        process = start(tmp_path, "disturbed")
        try:
            process.wait(timeout=delay_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            num_killed += 1
        process.communicate()
    directory, _ = run(tmp_path, *settings, workspace="disturbed")
    assert num_killed >= 3
    assert outputs(directory) == outputs(expected)
    lines = read_metrics(directory.path / "metrics.jsonl")
    assert sorted(line["step"] for line in lines) == list(range(40))
    assert list((tmp_path / "disturbed" / "stages").iterdir()) == []


def test_killed_while_a_stage_works_it_continues_where_it_was(tmp_path):
    process = start(tmp_path, "workspace")
    deadline_s = time.monotonic() + 60
    while len(list((tmp_path / "workspace" / "stages").glob("*/work/*.json"))) < 5:
        assert time.monotonic() < deadline_s
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    process.kill()
    process.communicate()
    _, observer = run(tmp_path, "count.num_items=40", "count.pause_s=0.04")
    first = next(event for event in observer.events if event[0] == "update")
    assert first[2] > 5
