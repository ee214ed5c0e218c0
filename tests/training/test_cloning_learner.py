import copy

import torch
from torch.nn import functional
from toy_demonstrations import POLICY

from steadyhand.models.policies.chunking import build_network
from steadyhand.models.policies.chunking_network import scale
from steadyhand.training.chunk_targets import compute_chunk_targets, compute_normalisation
from steadyhand.training.cloning_learner import BehaviourCloningConfig, CloningLearner, Examples
from steadyhand.training.data_order import draw_rows

CONFIG = BehaviourCloningConfig(
    num_steps=10, batch_size=16, warmup_steps=0, light_jitter=0.0, num_threads=1
)


def prepare(arrays):
    targets = compute_chunk_targets(
        arrays.state, arrays.action, arrays.is_label, arrays.episode_end, POLICY.chunk_length
    )
    constants = compute_normalisation(targets, arrays.state.mean(0), arrays.state.std(0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = build_network(POLICY, constants)
    images = [arrays.frames[key] for key in POLICY.image_keys]
    return network, Examples.build(images, arrays.state, targets, network)


def compute_plain_loss(network, examples, chunks):
    """Write the loss down once more, over the whole batch at once."""
    rows = examples.rows[chunks]
    features = network.vision.encode(*(scale(frames[rows]) for frames in examples.images))
    decoded = network.head.decode(features, examples.state[rows])
    is_valid = examples.is_valid[chunks]
    motion = (decoded[:, :, :4] - examples.motion[chunks]).abs().mean(dim=2)
    grip = functional.binary_cross_entropy_with_logits(
        decoded[:, :, 4], examples.grip[chunks], reduction="none"
    )
    return ((motion + CONFIG.grip_weight * grip) * is_valid).sum() / is_valid.sum()


def test_a_step_is_the_plain_step_of_adamw(arrays):
    """Convolutions gave channels-last gradients, which the fused optimiser read in memory order.

    Every convolution weight was moved by another weight's gradient. Nothing failed: the loss fell,
    the gradients were right, and the policies that came out could not see.
    """
    network, examples = prepare(arrays)
    plain = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(
        plain.parameters(), lr=CONFIG.learning_rate, weight_decay=CONFIG.weight_decay, foreach=False
    )
    chunks = torch.from_numpy(draw_rows(CONFIG.seed, len(examples.rows), 0, CONFIG.batch_size))
    compute_plain_loss(plain, examples, chunks).backward()
    optimiser.step()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    with CloningLearner(CONFIG, network, examples, torch.device("cpu")) as learner:
        learner.advance()
    for name, expected in plain.named_parameters():
        if name.endswith("6.bias"):
            continue  # standardised maps do not depend on it: its gradient is rounding noise
        moved = (network.get_parameter(name) - before[name]).detach()
        torch.testing.assert_close(moved, expected.detach() - before[name], atol=2e-5, rtol=0)
        assert moved.abs().max() > 0.5 * CONFIG.learning_rate


def test_the_averages_follow_the_weights_and_soon_forget_the_start(arrays):
    network, examples = prepare(arrays)
    first = {name: p.detach().clone() for name, p in network.named_parameters()}
    with CloningLearner(CONFIG, network, examples, torch.device("cpu")) as learner:
        learner.advance()
        averages = learner.averages()
    decay = 2 / 11  # (1 + step) / (10 + step) is smaller than the configured 0.998
    for name, parameter in network.named_parameters():
        expected = decay * first[name] + (1 - decay) * parameter.detach()
        torch.testing.assert_close(averages[name], expected, atol=1e-7, rtol=1e-5)
