import torch

from steadyhand.training.augmentation import draw_light


def test_light_changes_whole_pictures_and_is_drawn_from_its_generator():
    images = torch.rand(6, 3, 4, 4) * 2 - 1
    first = draw_light(6, 0.2, torch.Generator().manual_seed(1))
    again = draw_light(6, 0.2, torch.Generator().manual_seed(1))
    relit = first.apply(images, slice(0, 6))
    assert torch.equal(relit, again.apply(images, slice(0, 6)))
    assert torch.equal(relit[2:4], first.apply(images[2:4], slice(2, 4)))
    assert not torch.equal(relit, images)
    assert len({tuple(row) for row in first.gain.flatten(1).tolist()}) == 6
    # Geometry stays: within a picture and channel, brighter pixels stay brighter.
    assert torch.equal(relit[0, 0].flatten().argsort(), images[0, 0].flatten().argsort())


def test_strength_zero_changes_nothing():
    images = torch.rand(3, 3, 4, 4)
    light = draw_light(3, 0.0, torch.Generator())
    assert torch.equal(light.apply(images, slice(0, 3)), images)


def test_black_stays_black_but_for_the_brightness_offset():
    light = draw_light(100, 0.2, torch.Generator())
    black = light.apply(torch.full((100, 3, 1, 1), -1.0), slice(0, 100)) + 1
    assert black.abs().max() <= 0.1 + 1e-6
