import numpy as np
import pytest

from steadyhand.contracts.errors import SpecError, UnknownNameError, UsageError
from steadyhand.contracts.specs import validate_arrays
from steadyhand.kinematics import panda
from steadyhand.sim.tasks.pick_place import STEP_PERIOD_S, TIME_LIMIT_S, PickPlace

STAY = np.array((*panda.end_effector_pose(np.array(panda.REST_RAD)), 0.0), np.float32)


def place_object(world, x, y, z=0.02):
    import mujoco

    world.data.joint("object").qpos[:] = (x, y, z, 1, 0, 0, 0)
    mujoco.mj_forward(world.model, world.data)


def test_observations_are_what_the_specs_say(hard):
    hard.reset(0, 0)
    observation = hard.observe()
    validate_arrays(hard.observation_specs, observation, "observation")
    state = observation["observation.state"]
    np.testing.assert_allclose(state[:7], panda.REST_RAD, atol=1e-6)
    assert state[7] == pytest.approx(0.08, abs=1e-3)
    np.testing.assert_allclose(state[8:], STAY[:4], atol=1e-6)


def test_an_episode_in_which_nothing_happens_is_truncated_and_not_terminated(hard):
    hard.reset(0, 0)
    steps = [hard.step(STAY) for _ in range(round(TIME_LIMIT_S / STEP_PERIOD_S))]
    assert not any(s.is_last for s in steps[:-1])
    assert steps[-1].truncated
    assert not steps[-1].terminated
    assert not steps[-1].is_success


def test_an_object_that_rests_on_the_target_terminates_with_success(hard):
    hard.reset(0, 0)
    place_object(hard, *hard.world_state().target_position)
    step = hard.step(STAY)
    assert (step.terminated, step.truncated, step.is_success, step.reward) == (True, False, True, 1)


def test_an_object_five_centimetres_beside_the_target_is_no_success(hard):
    hard.reset(0, 0)
    x, y = hard.world_state().target_position
    place_object(hard, x, y + 0.05)
    assert not hard.step(STAY).is_success


def test_an_object_above_the_target_is_no_success(hard):
    hard.reset(0, 0)
    place_object(hard, *hard.world_state().target_position, z=0.2)
    assert not hard.is_success()


def test_an_object_off_the_table_terminates_as_a_failure(hard):
    hard.reset(0, 0)
    place_object(hard, 0.5, 0.8, z=-0.1)
    step = hard.step(STAY)
    assert (step.terminated, step.truncated, step.is_success) == (True, False, False)
    assert step.info["is_lost"]


def test_the_target_drifts_inside_its_area_at_no_more_than_a_centimetre_per_second(hard):
    distances = []
    for index in range(3):
        hard.reset(1, index)
        before = hard.world_state().target_position
        for _ in range(60):
            hard.step(STAY)
        after = hard.world_state().target_position
        distances.append(np.linalg.norm(after - before))
        assert 0.4 <= after[0] <= 0.6
        assert 0.15 <= after[1] <= 0.26
    assert 0.002 < max(distances) <= 0.03 + 1e-9


def test_the_target_waits_while_the_object_is_near(hard):
    hard.reset(1, 0)
    x, y = hard.world_state().target_position
    place_object(hard, x, y + 0.06)
    for _ in range(20):
        hard.step(STAY)
    np.testing.assert_array_equal(hard.world_state().target_position, (x, y))


def test_an_action_that_is_not_finite_or_of_the_wrong_type_is_refused(hard):
    hard.reset(0, 0)
    with pytest.raises(SpecError, match="not finite"):
        hard.step(np.full(5, np.nan, np.float32))
    with pytest.raises(SpecError, match="must be float32"):
        hard.step(np.zeros(5))


def test_a_step_before_the_first_reset_says_what_to_do():
    with pytest.raises(UsageError, match="call reset"):
        PickPlace("pick_place-plain").step(STAY)


def test_an_unknown_level_names_the_nearest_task():
    with pytest.raises(UnknownNameError, match="did you mean 'pick_place-hard'"):
        PickPlace("pick_place-hart")


def test_resetting_gives_the_same_world_whatever_happened_before(hard):
    hard.reset(0, 3)
    first = hard.observe()
    hard.reset(5, 1)
    for _ in range(5):
        hard.step(STAY)
    hard.reset(0, 3)
    for name, value in hard.observe().items():
        np.testing.assert_array_equal(value, first[name])


def test_a_snapshot_shows_the_moment_it_was_taken(hard):
    hard.reset(0, 0)
    for _ in range(10):
        hard.step(STAY + np.float32((0, 0, -0.1, 0, 0)))
    picture, snapshot = hard.render("scene"), hard.snapshot()
    hard.reset(0, 0)
    assert (hard.render("scene") != picture).any()
    hard.show(snapshot)
    np.testing.assert_array_equal(hard.render("scene"), picture)
