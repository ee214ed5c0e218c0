"""TensorBoard: the numbers of ``metrics.jsonl`` arrive, stage by stage."""

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from steadyhand.apps.trackers.tensorboard import write_events
from steadyhand.jobs.metrics import MetricLog


def test_every_number_arrives_at_its_step(tmp_path):
    log = MetricLog(tmp_path / "metrics.jsonl")
    for step in (10, 20):
        log.append("train", step, {"loss": 1 / step})
    log.append("other", 1, {"x": float("nan")})
    log.close()
    assert write_events(tmp_path / "metrics.jsonl", tmp_path / "events") == 2
    events = EventAccumulator(str(tmp_path / "events" / "train"))
    events.Reload()
    found = [(event.step, round(event.value, 6)) for event in events.Scalars("loss")]
    assert found == [(10, 0.1), (20, 0.05)]
