import json
from dataclasses import replace

import pytest

from steadyhand.contracts.errors import DataError, UsageError
from steadyhand.contracts.progress import Silent
from steadyhand.evaluation.results import EpisodeResult, Rate
from steadyhand.evaluation.suite import (
    Condition,
    Evaluation,
    Suite,
    choose_best,
    compare,
    evaluate,
)


class Recorded(Silent):
    def __init__(self):
        self.updates = []

    def update(self, phase, done, total, unit):
        self.updates.append((phase, done, total, unit))


def with_failures(evaluation, *failing, candidate="other"):
    """The same evaluation, in which exactly the results at these positions failed."""
    results = tuple(
        replace(r, is_success=i not in failing, ending="time_limit" if i in failing else "success")
        for i, r in enumerate(evaluation.results)
    )
    return replace(evaluation, candidate=candidate, results=results)


def test_a_suite_names_its_episodes_condition_by_condition():
    suite = Suite((Condition("a", 1, 5, 2), Condition("b", 3, 6, 1)))
    assert [str(key) for key in suite.keys] == ["a@1/5/0", "a@1/5/1", "b@3/6/0"]


@pytest.mark.parametrize("conditions", [(), (Condition("a", 1, 5, 2), Condition("a", 1, 5, 9))])
def test_an_empty_suite_and_the_same_episodes_twice_are_refused(conditions):
    with pytest.raises(UsageError, match="no \\(task, seed\\) twice"):
        Suite(conditions)


def test_a_condition_without_episodes_is_refused():
    with pytest.raises(UsageError, match="at least 1"):
        Condition("a", 1, 5, 0)


def test_success_is_given_per_task_and_per_cluster(checkpoint):
    assert checkpoint.by_task()["pick_place-hard"] == Rate(199, 200)
    assert checkpoint.by_cluster()["pick_place-hard-held_out", "c6"] == Rate(97, 100)
    assert sum(r.num_trials for r in checkpoint.by_cluster().values()) == 400
    assert checkpoint.rate == Rate(389, 400)


def test_every_failure_is_listed_with_its_key(checkpoint):
    assert checkpoint.to_json()["failures"][:2] == [
        "pick_place-hard@1/700/41",
        "pick_place-hard-held_out@1/701/3",
    ]


def test_an_evaluation_survives_json_and_holds_no_timing(checkpoint):
    text = json.dumps(checkpoint.to_json())
    assert Evaluation.from_json(json.loads(text)) == checkpoint
    assert "inference_s" not in text


def test_timings_do_not_make_results_different(checkpoint):
    slower = replace(
        checkpoint, results=tuple(replace(r, inference_s=(9.0,)) for r in checkpoint.results)
    )
    assert slower == checkpoint
    assert slower.to_json() == checkpoint.to_json()
    assert slower.measurements()["inference_s"]["p50"] == 9.0


def test_percentiles_are_nearest_ranks(checkpoint):
    times = tuple(float(i) for i in range(1, 201))
    first, *others = checkpoint.results
    measured = replace(
        checkpoint,
        results=(replace(first, inference_s=times), *(replace(r, inference_s=()) for r in others)),
    )
    assert measured.measurements() == {
        "candidate": "checkpoint",
        "num_inferences": 200,
        "inference_s": {"p50": 100.0, "p95": 190.0, "p99": 198.0, "max": 200.0},
    }


def test_results_that_are_not_those_of_the_suite_are_refused(checkpoint):
    with pytest.raises(DataError, match="399 results do not match the 400 episodes"):
        replace(checkpoint, results=checkpoint.results[:-1])


def test_another_schema_is_refused(checkpoint):
    with pytest.raises(DataError, match="schema 99"):
        Evaluation.from_json({**checkpoint.to_json(), "schema": 99})


def test_a_result_without_a_field_is_refused():
    with pytest.raises(DataError, match="lacks 'seed'"):
        EpisodeResult.from_json({"task": "a", "task_version": 1})


def test_an_ending_that_contradicts_the_success_is_refused(checkpoint):
    with pytest.raises(DataError, match="only success is a success"):
        replace(checkpoint.results[0], ending="time_limit")


def test_a_comparison_pairs_episode_by_episode(bundle, checkpoint):
    comparison = compare(bundle, checkpoint)
    assert (comparison.overall.only_candidate, comparison.overall.only_reference) == (2, 2)
    assert comparison.is_not_inferior
    hard = comparison.by_task[0]
    assert (hard.name, hard.only_candidate, hard.only_reference) == ("pick_place-hard", 0, 1)
    assert not hard.is_not_inferior
    json.dumps(comparison.to_json())


def test_an_open_comparison_says_how_many_pairs_would_settle_it(checkpoint):
    good, worse = with_failures(checkpoint), with_failures(checkpoint, 0, 1, 2, 3, candidate="int8")
    comparison = compare(worse, good)
    assert not comparison.is_not_inferior
    assert "400 pairs do not show that it loses at most 2 points: about 365 pairs would" in (
        comparison.explain()
    )


def test_a_clearly_worse_candidate_is_called_inferior(checkpoint):
    comparison = compare(with_failures(checkpoint, *range(60)), with_failures(checkpoint))
    assert "inferior by more than 2 points" in comparison.explain()


def test_unpaired_evaluations_are_not_compared(checkpoint, reach_suite):
    results = tuple(
        replace(r, key=key) for r, key in zip(checkpoint.results, reach_suite.keys, strict=False)
    )
    other = Evaluation("other", reach_suite, {}, results)
    with pytest.raises(DataError, match="different episodes"):
        compare(other, checkpoint)


def test_the_best_candidate_has_most_successes_then_fewest_steps_then_comes_last(checkpoint):
    best = with_failures(checkpoint, 7, candidate="1300")
    slower = replace(
        best,
        candidate="1500",
        results=tuple(replace(r, num_steps=r.num_steps + 1) for r in best.results),
    )
    worse = with_failures(checkpoint, 7, 8, candidate="900")
    assert choose_best([worse, best, slower]).candidate == "1300"
    twin = replace(best, candidate="1400")
    assert choose_best([best, twin, slower]).candidate == "1400"


def test_no_candidates_is_no_choice():
    with pytest.raises(DataError, match="same episodes"):
        choose_best([])


def test_evaluating_reports_every_episode(reach_suite, reach_episode, serial):
    progress = Recorded()
    evaluation = evaluate(
        reach_suite, reach_episode, serial, progress, candidate="c", settings={"delay": 1}
    )
    assert progress.updates[-1] == ("evaluate c", 20, 20, "episodes")
    assert evaluation.settings == {"delay": 1}
    assert 0 < evaluation.rate.num_successes < 20


def test_two_processes_give_the_bytes_of_one(reach_suite, reach_episode, serial, two_processes):
    alone = evaluate(reach_suite, reach_episode, serial, Silent())
    shared = evaluate(reach_suite, reach_episode, two_processes, Silent())
    assert json.dumps(alone.to_json()) == json.dumps(shared.to_json())
