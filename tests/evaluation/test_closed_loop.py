import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from steadyhand.contracts.environment import EpisodeKey
from steadyhand.contracts.errors import DataError, RenderingError, StageError, UsageError
from steadyhand.runtime.config import RuntimeConfig
from steadyhand.sim.catalog import make_environment

NEAR, FAR = EpisodeKey("reach-a", 1, 5, 2), EpisodeKey("reach-a", 1, 5, 0)


def test_a_solved_episode_is_a_success_and_another_ends_at_the_time_limit(reach_episode):
    solved, unsolved = reach_episode(NEAR), reach_episode(FAR)
    assert (solved.is_success, solved.ending, solved.cluster) == (True, "success", "near")
    assert (unsolved.is_success, unsolved.ending, unsolved.cluster) == (False, "time_limit", "far")


def test_every_tick_has_one_verdict(reach_episode):
    result = reach_episode(FAR)
    assert sum(result.verdicts.values()) == result.num_steps == 100  # 2 s at 50 Hz


def test_inference_takes_the_stated_time(reach_episode):
    # The first chunk is there 50 ms after the start: at 50 Hz the loop holds at 0, 20 and 40 ms.
    assert reach_episode(FAR).verdicts["held"] == 3
    slower = replace(reach_episode, delay_s=0.11)
    assert slower(FAR).verdicts["held"] == 6


def test_the_order_of_episodes_and_what_ran_before_change_nothing(reach_episode):
    first = reach_episode(NEAR)
    reach_episode(FAR)
    assert reach_episode(NEAR) == first


def test_candidates_meet_the_same_noise(reach_episode):
    """The policy's random stream is named by the episode, so equal policies act equally."""

    @dataclass(frozen=True)
    class Twin:
        def __call__(self):
            return reach_episode.policy()

    assert replace(reach_episode, policy=Twin())(NEAR) == reach_episode(NEAR)


def test_noise_matters(reach_episode):
    louder = replace(reach_episode, policy=replace(reach_episode.policy, noise_m=0.05))
    assert louder(NEAR) != reach_episode(NEAR)


def test_pictures_are_rendered_only_for_inferences(reach_episode):
    worlds = []
    result = reach_episode.run(FAR, lambda world, _: worlds.append((world, world.num_observed)))
    before = reach_episode.run(FAR, lambda world, _: worlds.append((world, world.num_observed)))
    assert before == result
    rendered = worlds[-1][1] - worlds[len(worlds) // 2 - 1][1]
    assert rendered == result.num_inferences
    assert rendered < result.num_steps / 10


def test_measured_times_are_kept_apart(reach_episode):
    result = reach_episode(NEAR)
    assert len(result.inference_s) == result.num_inferences
    assert all(t > 0 for t in result.inference_s)
    assert "inference_s" not in json.dumps(result.to_json())


def test_few_worlds_are_kept_and_the_others_closed(reach_episode):
    worlds = []
    for letter in "bcdefg":
        key = EpisodeKey(f"reach-{letter}", 1, 5, 0)
        reach_episode.run(key, lambda world, _: worlds.append(world))
    distinct = {id(world): world for world in worlds}
    assert [world.is_closed for world in distinct.values()] == [True, True] + 4 * [False]


def test_an_episode_of_another_task_version_is_refused(reach_episode):
    with pytest.raises(DataError, match="this installation has version 1"):
        reach_episode(EpisodeKey("reach-a", 2, 5, 0))


def test_a_task_without_an_arm_is_refused(reach_episode):
    gym = replace(reach_episode, environment=make_environment)
    with pytest.raises(UsageError, match="no arm that takes joint targets"):
        gym(EpisodeKey("gym:CartPole-v1", 1, 0, 0))


def test_a_delay_beyond_the_latency_budget_is_refused(reach_episode):
    with pytest.raises(UsageError, match="every chunk would be refused"):
        replace(reach_episode, delay_s=0.3)


def test_a_tick_of_broken_physics_steps_is_refused(reach_episode):
    odd = replace(reach_episode, runtime=RuntimeConfig(control_rate_hz=30))
    with pytest.raises(UsageError, match="20, 25, 50 or 100 Hz"):
        odd(NEAR)


@dataclass(frozen=True)
class BrokenSource:
    make: type

    def __call__(self):
        policy = self.make(0.0)

        def act(observation, state, rng):
            raise ZeroDivisionError("a bug in the policy")

        policy.act = act
        return policy


def test_a_broken_policy_is_an_error_and_no_failed_episode(reach_episode):
    broken = replace(reach_episode, policy=BrokenSource(type(reach_episode.policy())))
    with pytest.raises(StageError, match="ZeroDivisionError: a bug in the policy"):
        broken(NEAR)


def test_a_machine_without_opengl_is_an_error_and_no_failed_episode(reach_episode):
    def blind(task):
        world = reach_episode.environment(task)

        def observe():
            raise RenderingError("no OpenGL here; install libegl1")

        world.observe = observe
        return world

    with pytest.raises(RenderingError, match="install libegl1"):
        replace(reach_episode, environment=blind)(NEAR)


def test_a_policy_that_goes_silent_is_caught_by_the_fallbacks_and_the_robot_stopped(reach_episode):
    @dataclass(frozen=True)
    class Silent:
        def __call__(self):
            policy = reach_episode.policy()
            plain = policy.act

            def act(observation, state, rng):
                chunk, state = plain(observation, state, rng)
                return replace(chunk, actions=np.full_like(chunk.actions, np.nan)), state

            policy.act = act
            return policy

    quick = RuntimeConfig(hold_ms=100, safe_ms=200)
    result = replace(reach_episode, policy=Silent(), runtime=quick)(FAR)
    assert result.ending == "stopped"
    assert result.verdicts["executed"] == 0
    assert result.verdicts["safe"] == 10


def test_the_expert_solves_the_real_task_through_the_loop(expert_episode, expert_key):
    result = expert_episode(expert_key)
    assert result.is_success
    assert result.facts["level"] == "plain"


def test_a_fresh_process_gives_the_same_bytes_on_the_real_task(expert_episode, expert_key):
    """The first episode of a new process equals one that follows others in this process."""
    script = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); import evaluation_fakes as fakes;"
        "from steadyhand.evaluation.closed_loop import ClosedLoopEpisode;"
        "run = ClosedLoopEpisode(fakes.ExpertSource(), fakes.TIMING,"
        " environment=fakes.make_shared_world);"
        "print(json.dumps(run(fakes.EXPERT_KEY).to_json(), sort_keys=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    expert_episode(replace(expert_key, index=9))
    here = json.dumps(expert_episode(expert_key).to_json(), sort_keys=True)
    assert done.stdout.strip() == here


def test_what_decides_the_results_is_stated(reach_episode):
    assert reach_episode.settings == {
        "control rate [Hz]": 50.0,
        "inference delay [ms]": 50.0,
        "latency budget [ms]": 250.0,
        "refill threshold": 0.5,
        "chunk length": 10,
    }
