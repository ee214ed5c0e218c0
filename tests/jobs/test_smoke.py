"""Every stage in a row, at the smallest size: nothing is faked, and everything can be reused."""

import json
from pathlib import Path

import pytest

from steadyhand.apps.cli.main import main

RECIPE = Path(__file__).parents[2] / "recipes" / "smoke.toml"


def steady(capsys, *arguments):
    """Return the JSON that a verb prints."""
    code = main([*arguments, "--json"])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return json.loads(captured.out)


@pytest.mark.timeout(900)
def test_the_whole_way_from_demonstrations_to_a_drive_with_faults(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = steady(capsys, "run", str(RECIPE))
    assert Path(first["report"]).read_text().startswith("<!DOCTYPE html>")
    directory = Path(first["directory"])
    outputs = json.loads((directory / "outputs.json").read_text())
    assert json.loads((directory / "manifest.json").read_text())["finished"] is True
    drive = next(s for s in first["stages"] if s["name"] == "realtime")
    assert drive["facts"]["late_actions_executed"] == 0
    assert drive["facts"]["worker_restarts"] >= 1

    second = steady(capsys, "run", str(RECIPE))
    assert all(stage["is_reused"] for stage in second["stages"])
    assert json.loads((directory / "outputs.json").read_text()) == outputs

    replayed = steady(capsys, "replay", "smoke", "--stage", "reevaluate")
    assert Path(replayed["video"]).stat().st_size > 1000

    driven = steady(
        capsys, "drive", str(directory / "export" / "bundle"), "--duration", "1.5", "--no-async"
    )
    assert driven["report"]["control"]["loop"]["late_actions_executed"] == 0
