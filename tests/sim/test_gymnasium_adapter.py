import numpy as np
import pytest

from steadyhand.contracts.errors import SpecError, UnknownNameError, UsageError
from steadyhand.sim.catalog import make_environment


def test_a_pole_that_falls_terminates_and_is_not_truncated():
    environment = make_environment("gym:CartPole-v1")
    environment.reset(0, 0)
    for _ in range(200):
        step = environment.step(np.array([1]))
        if step.is_last:
            break
    assert (step.terminated, step.truncated) == (True, False)
    environment.close()


def test_a_car_that_never_arrives_is_truncated_and_not_terminated():
    environment = make_environment("gym:MountainCar-v0")
    environment.reset(0, 0)
    steps = [environment.step(np.array([1])) for _ in range(200)]
    assert not any(s.is_last for s in steps[:-1])
    assert (steps[-1].terminated, steps[-1].truncated) == (False, True)
    environment.close()


def test_spaces_become_specs():
    pendulum = make_environment("gym:Pendulum-v1")
    assert pendulum.action_spec.shape == (1,)
    assert (pendulum.action_spec.low, pendulum.action_spec.high) == (-2.0, 2.0)
    assert pendulum.observation_specs["observation.state"].high == (1.0, 1.0, 8.0)
    cart = make_environment("gym:CartPole-v1")
    assert (cart.action_spec.dtype, cart.action_spec.low, cart.action_spec.high) == ("int64", 0, 1)
    assert cart.task_version == 1
    for environment in (pendulum, cart):
        environment.close()


def test_an_episode_is_named_by_seed_and_index():
    def first(seed, index):
        environment = make_environment("gym:CartPole-v1")
        environment.reset(seed, index)
        observation = environment.observe()["observation.state"]
        environment.close()
        return observation.tolist()

    assert first(1, 2) == first(1, 2)
    assert first(1, 2) != first(1, 3)
    assert first(1, 2) != first(2, 2)


def test_actions_outside_the_space_are_refused():
    environment = make_environment("gym:CartPole-v1")
    environment.reset(0, 0)
    with pytest.raises(SpecError, match="above its range"):
        environment.step(np.array([2]))
    environment.close()


def test_an_unknown_id_names_the_nearest_one():
    with pytest.raises(UnknownNameError, match="did you mean 'CartPole-v1'"):
        make_environment("gym:CartPol-v1")


def test_an_unknown_task_names_the_nearest_one():
    with pytest.raises(UnknownNameError, match="did you mean 'pick_place-hard'"):
        make_environment("pick_place-hrd")


def test_a_space_that_is_no_array_is_refused_with_a_fix():
    with pytest.raises(UsageError, match="FlattenObservation"):
        make_environment("gym:Blackjack-v1")


def test_observing_before_the_first_reset_says_what_to_do():
    environment = make_environment("gym:CartPole-v1")
    with pytest.raises(UsageError, match="call reset"):
        environment.observe()
    environment.close()
