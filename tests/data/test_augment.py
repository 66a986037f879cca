"""Augmentation: a function of row, epoch and seed that moves pixels without bias."""

import pytest
import torch

from lichen.core.errors import OptionError
from lichen.data import augment, draws, warp, wide

ALL = [{op: usual} for op, (usual, _, _) in augment.OPERATIONS.items()]


def pictures(num_rows=64, height=16, width=12, channels=3):
    torch.manual_seed(0)
    return torch.randint(0, 256, (num_rows, channels, height, width), dtype=torch.uint8)


def uniforms(policy, num_rows, epoch=0):
    numbers = torch.tensor(augment.numbers(policy), dtype=torch.int64)
    return draws.uniforms(torch.arange(num_rows) * 7919, numbers, seed=0, epoch=epoch).float()


def alternated(strength, images, epoch):
    policy = augment.policy_of([{"alternating_flip": strength}])
    drawn = augment.drawn(policy, torch.arange(len(images)) * 7919, seed=3, epoch=epoch)
    return (augment.apply(policy, images, drawn) == images.flip(3)).all((1, 2, 3))


def applied(ops, images, epoch=0):
    policy = augment.policy_of(ops)
    return augment.apply(policy, images, uniforms(policy, len(images), epoch))


def test_flipping_twice_gives_the_picture_back():
    images = pictures()
    once = applied([{"flip": 1.0}], images)
    assert torch.equal(once, images.flip(3)) and torch.equal(applied([{"flip": 1.0}], once), images)


def test_half_of_the_rows_are_flipped_and_the_others_untouched():
    images = pictures(4000, 4, 4)
    is_flipped = (applied([{"flip": 0.5}], images) == images.flip(3)).all((1, 2, 3))
    is_same = (applied([{"flip": 0.5}], images) == images).all((1, 2, 3))
    assert (is_flipped | is_same).all() and abs(is_flipped.float().mean() - 0.5) < 0.03


def test_an_alternating_flip_shows_each_side_once_in_any_two_epochs():
    images = pictures(2000, 4, 4)
    first, second, third = (alternated(1.0, images, epoch) for epoch in (4, 5, 6))
    assert torch.equal(first, ~second) and torch.equal(first, third)
    assert abs(first.float().mean() - 0.5) < 0.03


def test_a_share_of_rows_alternates_and_the_others_stay():
    images = pictures(2000, 4, 4)
    first, second = alternated(0.4, images, 0), alternated(0.4, images, 1)
    assert not (first & second).any() and abs((first | second).float().mean() - 0.4) < 0.03


def test_mirrored_twice_is_not_mirrored():
    images = pictures()
    policy = augment.policy_of([{"flip": 1.0}, {"alternating_flip": 1.0}])
    both = augment.apply(policy, images, augment.drawn(policy, torch.arange(64) * 7919, seed=3, epoch=0))
    assert torch.equal((both == images).all((1, 2, 3)), alternated(1.0, images, 0))


def test_a_crop_is_a_window_of_the_reflected_picture():
    images = pictures(height=16, width=16)
    padded = torch.nn.functional.pad(images.float(), (2, 2, 2, 2), mode="reflect").to(torch.uint8)
    seen = set()
    for row, picture in enumerate(applied([{"crop": 0.125}], images)):
        found = [(y, x) for y in range(5) for x in range(5)
                 if torch.equal(padded[row, :, y : y + 16, x : x + 16], picture)]  # fmt: skip
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) > 15


def test_without_strength_nothing_is_touched():
    images = pictures()
    assert applied([{op: 0.0} for op in augment.OPERATIONS], images) is images


def test_a_turn_by_nothing_leaves_the_picture():
    images = pictures().float()
    still = warp.rotated(warp.identity(len(images), images.device), torch.zeros(len(images)))
    assert torch.allclose(warp.sampled(images, still), images, atol=0.02)


def test_a_quarter_turn_is_torchs():
    images = pictures(height=12, width=12).float()
    quarter = torch.full((len(images),), torch.pi / 2)
    turned = warp.sampled(images, warp.rotated(warp.identity(len(images), images.device), quarter))
    assert torch.allclose(turned, images.rot90(1, (2, 3)), atol=0.02)


def test_copying_and_looking_up_agree_away_from_the_edges():
    images = pictures(height=16, width=20)
    down, across = torch.randint(-3, 4, (64,)), torch.randint(-3, 4, (64,))
    is_flipped = torch.arange(64) % 2 == 0
    place = warp.moved(warp.identity(64, images.device), torch.stack([across, down], 1).float())
    looked_up = warp.sampled(images.float(), warp.mirrored(place, is_flipped))
    copied = warp.copied(images, down, across, is_flipped).float()
    assert torch.allclose(looked_up[:, :, 4:-4, 4:-4], copied[:, :, 4:-4, 4:-4], atol=0.05)


@pytest.mark.parametrize("op", ["crop", "shift", "rotate", "zoom", "shear", "flip"])
def test_the_mean_displacement_is_zero(op):
    """The centre of mass of a symmetric blob stays in the middle on average."""
    y, x = torch.meshgrid(torch.arange(17) - 8.0, torch.arange(17) - 8.0, indexing="ij")
    blob = (255 * torch.exp(-(x**2 + y**2) / 6)).to(torch.uint8).expand(4000, 1, 17, 17)
    moved = applied([{op: augment.OPERATIONS[op][0]}], blob).float()[:, 0]
    mass = moved.sum((1, 2))
    assert abs(((moved * x).sum((1, 2)) / mass).mean()) < 0.06
    assert abs(((moved * y).sum((1, 2)) / mass).mean()) < 0.06


def test_colour_of_full_strength_zero_draws_is_black_and_of_middle_draws_unchanged():
    images, policy = pictures(), augment.policy_of([{"colour": 1.0}])
    assert augment.apply(policy, images, torch.zeros(64, 3)).abs().max() == 0
    unchanged = augment.apply(policy, images, torch.full((64, 3), 0.5))
    assert torch.allclose(unchanged, images.float(), atol=1e-3)


def test_colour_is_brightness_then_contrast_then_saturation():
    images, drawn = pictures().float(), torch.rand(64, 3) * 0.2 + 0.4
    bright, contrast, saturation = ((0.5 + drawn[:, i])[:, None, None, None] for i in range(3))
    luma = torch.tensor(wide.LUMA)[None, :, None, None]
    brightened = images * bright
    contrasted = contrast * brightened + (1 - contrast) * (brightened * luma).sum(1, True).mean((2, 3), True)
    expected = saturation * contrasted + (1 - saturation) * (contrasted * luma).sum(1, True)
    policy = augment.policy_of([{"colour": 0.5}])
    found = augment.apply(policy, images.to(torch.uint8), drawn)
    reached = (1 + (2 * drawn - 1) * 0.5)[:, :, None, None, None]
    assert torch.allclose(reached[:, 0], bright, atol=1e-5)
    assert torch.allclose(found, expected.clamp(0, 255), atol=0.02)


def test_cutout_takes_one_square_at_most_and_gives_it_the_mean():
    images = pictures(256, 16, 16)
    cut = applied([{"cutout": 0.25}], images)
    changed = (cut != images).any(1)
    assert changed.flatten(1).sum(1).max() <= 16 and changed.flatten(1).any(1).all()
    mean = images.float().mean((2, 3)).to(torch.uint8)
    assert all((cut[i][:, changed[i]] == mean[i][:, None]).all() for i in range(256))


def test_a_row_is_varied_alike_in_any_batch_and_again():
    images = pictures()
    policy = augment.policy_of(ALL)
    drawn = uniforms(policy, len(images))
    whole = augment.apply(policy, images, drawn)
    assert torch.equal(whole, augment.apply(policy, images, drawn))
    parts = [augment.apply(policy, images[rows], drawn[rows]) for rows in torch.arange(64).split(7)]
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(whole, applied(ALL, images, epoch=1))


def test_another_operation_leaves_the_draws_of_the_first():
    images = pictures()
    alone = applied([{"flip": 0.5}], images)
    together = applied([{"cutout": 0.25}, {"flip": 0.5}], images)
    assert ((alone == together).float().mean((1, 2, 3)) > 0.85).all()


def test_grey_pictures_have_no_saturation():
    assert applied([{"colour": 0.3}], pictures(channels=1)).shape == (64, 1, 16, 12)


def test_an_unknown_operation_is_refused_with_the_nearest():
    with pytest.raises(OptionError, match="did you mean `rotate`"):
        augment.numbers([{"op": "rotat", "strength": 1.0}])


def test_an_operation_named_twice_is_refused():
    with pytest.raises(OptionError, match="`rotate` is named again(.|\\n)*one strength for it"):
        augment.policy_of([{"rotate": 5.0}, {"flip": 0.5}, {"rotate": 90.0}])
    assert augment.policy_of([{"rotate": 0.0}, {"rotate": 9.0}]) == [{"op": "rotate", "strength": 9.0}]


def test_every_operation_owns_its_draws():
    owned = [number for numbers in augment.DRAWS.values() for number in numbers]
    assert sorted(owned) == list(range(len(owned))) and augment.DRAWS.keys() == augment.OPERATIONS.keys()
    assert all(low <= usual <= high for usual, low, high in augment.OPERATIONS.values())
