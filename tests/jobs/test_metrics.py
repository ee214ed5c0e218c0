"""The metric file: appended once per step, whole lines only, also after a kill."""

import math
import os

import pytest

from steadyhand.contracts.errors import StorageError
from steadyhand.jobs.metrics import MetricLog, read_metrics


def test_a_step_is_kept_once_also_when_reported_again_after_a_restart(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for _ in range(2):
        log = MetricLog(path)
        for step in (10, 20, 20):
            log.append("train", step, {"loss": 1 / step})
        log.append("other", 10, {"loss": 5.0})
        log.close()
    assert [(line["stage"], line["step"]) for line in read_metrics(path)] == [
        ("train", 10),
        ("train", 20),
        ("other", 10),
    ]
    assert read_metrics(path)[1]["values"] == {"loss": 0.05}


def test_every_torn_end_is_dropped_and_the_step_is_written_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = MetricLog(path)
    for step in (1, 2):
        log.append("train", step, {"loss": 0.5})
    log.close()
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole)):
        path.write_bytes(whole[:cut])
        assert [line["step"] for line in read_metrics(path)] == [1]
        log = MetricLog(path)
        log.append("train", 2, {"loss": 0.5})
        log.close()
        assert path.read_bytes() == whole


def test_what_is_not_finite_is_null(tmp_path):
    log = MetricLog(tmp_path / "metrics.jsonl")
    log.append("train", 1, {"loss": math.nan, "norm": math.inf, "rate": 1})
    log.close()
    (line,) = read_metrics(tmp_path / "metrics.jsonl")
    assert line["values"] == {"loss": None, "norm": None, "rate": 1.0}


def test_a_full_disk_is_a_clear_error_and_costs_no_earlier_line(tmp_path, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    log = MetricLog(path)
    log.append("train", 1, {"loss": 0.5})
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[: len(data) // 2]))
    with pytest.raises(StorageError, match="the disk is full"):
        log.append("train", 2, {"loss": 0.4})
    monkeypatch.undo()
    log.close()
    with pytest.raises(StorageError, match="metrics"):
        MetricLog(tmp_path / "no" / "metrics.jsonl")
    log = MetricLog(path)
    log.append("train", 2, {"loss": 0.4})
    log.close()
    assert [line["step"] for line in read_metrics(path)] == [1, 2]
