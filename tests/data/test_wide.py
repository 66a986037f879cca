"""The wide operations do what Pillow's do, row by row, whatever else is in the batch."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage

from lichen.data import augment, augmix, draws, wide

NUM_ROWS = 24


def pictures(num_rows=NUM_ROWS, channels=3):
    """Smooth and dark or light, so that curves have something to do; the last is plain."""
    made = np.random.default_rng(0)
    ramp = np.linspace(0, 1, 20)[:, None] * np.linspace(0.2, 1, 16)[None]
    low, high = (
        made.integers(0, 100, (num_rows, channels, 1, 1)),
        made.integers(120, 256, (num_rows, channels, 1, 1)),
    )
    pixels = low + (high - low) * ramp + made.integers(-9, 10, (num_rows, channels, 20, 16))
    pixels[-1] = 77
    return torch.from_numpy(pixels.clip(0, 255).astype("uint8"))


def by_pillow(images, change):
    shown = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    return torch.stack([torch.from_numpy(np.array(change(image, row))).permute(2, 0, 1)
                        for row, image in enumerate(shown)])  # fmt: skip


def by_us(images, name, amount, is_back=False):
    rows = len(images)
    return wide.varied(
        images, torch.full([rows], wide.NAMES.index(name)), torch.as_tensor(amount).expand(rows).float(),
        torch.full([rows], is_back),
    )  # fmt: skip


CURVES = {
    "posterize": lambda image, amount: ImageOps.posterize(image, 8 - round(6 * amount)),
    "solarize": lambda image, amount: ImageOps.solarize(image, 255 * (1 - amount)),
    "autocontrast": lambda image, amount: ImageOps.autocontrast(image),
    "equalize": lambda image, amount: ImageOps.equalize(image),
}
ENHANCERS = {
    "brightness": ImageEnhance.Brightness, "contrast": ImageEnhance.Contrast,
    "colour": ImageEnhance.Color, "sharpness": ImageEnhance.Sharpness,
}  # fmt: skip


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("amount", [0.0, 0.3, 0.71, 1.0])
def test_a_curve_is_pillows(name, amount):
    images = pictures()
    assert torch.equal(
        by_us(images, name, amount), by_pillow(images, lambda one, _: CURVES[name](one, amount))
    )


@pytest.mark.parametrize("name", ENHANCERS)
@pytest.mark.parametrize("signed", [-1.0, -0.4, 0.0, 0.6, 1.0])
def test_an_enhancement_is_pillows_but_for_rounding(name, signed):
    images = pictures()
    ours = by_us(images, name, abs(signed), signed < 0)
    theirs = by_pillow(images, lambda one, _: ENHANCERS[name](one).enhance(1 + wide.FURTHEST * signed))
    assert (ours.int() - theirs.int()).abs().max() <= 2
    assert torch.equal(ours, images) == (signed == 0.0)


@pytest.mark.parametrize("name, change", {
    "shift across": lambda image: image.roll(-4, 3), "shift down": lambda image: image.roll(-4, 2),
}.items())  # fmt: skip
def test_a_shift_is_by_whole_pixels_where_it_is_drawn_so(name, change):
    images = pictures()
    moved, expected = by_us(images, name, 4 / wide.PIXELS), change(images)
    assert torch.equal(moved[:, :, :16, :12], expected[:, :, :16, :12])
    assert not torch.equal(by_us(images, name, 4 / wide.PIXELS, is_back=True), moved)


def test_a_quarter_turn_turns_and_a_shear_leans():
    images = pictures()[:, :, :16]
    turned = by_us(images, "rotate", 90 / wide.DEGREES)
    assert min((turned.int() - images.rot90(k, (2, 3)).int()).abs().max() for k in (1, 3)) <= 1
    leant = by_us(images, "shear across", 1 / wide.FURTHEST)
    middle = torch.equal(leant[:, :, 8:9, 4:12], images[:, :, 8:9, 4:12])
    assert not torch.equal(leant, images) and (
        middle or (leant[:, :, 8].float() - images[:, :, 8]).abs().mean() < 9
    )


@pytest.mark.parametrize("extra", [[], [{"augmix": 0.3}, {"blur": 1.0}]])
def test_a_row_is_the_same_in_any_batch_and_grey_rows_work(extra):
    for channels in (1, 3):
        images = pictures(200, channels)
        policy = augment.policy_of([{"trivialaugment": 1.0}, {"randaugment": 0.5}, *extra])
        numbers = torch.tensor(augment.numbers(policy))
        uniforms = draws.uniforms(torch.arange(200) * 7919, numbers, seed=0, epoch=1).float()
        together = augment.apply(policy, images, uniforms)
        alone = [augment.apply(policy, images[row : row + 1], uniforms[row : row + 1]) for row in range(200)]
        assert torch.equal(together, torch.cat(alone)) and (together.dtype == torch.uint8) == (extra == [])
        assert not torch.equal(together, images)


def test_augmix_is_its_chains_one_after_the_other():
    """By hand, row by row: weights of the chains, then the share of the original."""
    images = pictures(40)
    policy = augment.policy_of([{"augmix": 0.4}])
    numbers = torch.tensor(augment.numbers(policy))
    uniforms = draws.uniforms(torch.arange(40) * 7919, numbers, seed=0, epoch=0).float()
    ours = augment.apply(policy, images, uniforms)
    for row in range(40):
        drawn = iter(uniforms[row].tolist())
        chains, weights = [], []
        for _ in range(3):
            depth, weight, chained = int(3 * next(drawn)) + 1, -np.log1p(-next(drawn)), images[row : row + 1]
            for place in range(3):
                which, how_far, way = next(drawn), next(drawn), next(drawn)
                name = augmix.NAMES[int(9 * which)]
                amount = (0.01 + 0.39 * how_far) * augmix._reach(name, 16)
                chained = by_us(chained, name, amount, way < 0.5) if place < depth else chained
            chains.append(chained.double())
            weights.append(weight)
        mixture = sum(weight * chain for weight, chain in zip(weights, chains)) / sum(weights)
        share = next(drawn)
        by_hand = share * images[row : row + 1] + (1 - share) * mixture
        assert (ours[row : row + 1] - by_hand).abs().max() < 1.01  # an amount between two levels
        assert (ours[row : row + 1] - by_hand).abs().mean() < 0.05


def test_a_blur_is_a_gaussian_of_each_rows_own_width():
    images = pictures()
    policy = augment.policy_of([{"blur": 1.5}])
    uniforms = torch.linspace(0.05, 1.0, NUM_ROWS)[:, None]
    ours = augment.apply(policy, images, uniforms)
    for row in range(NUM_ROWS):
        deviation = 1.5 * float(uniforms[row, 0])
        theirs = ndimage.gaussian_filter(
            images[row].double().numpy(), (0, deviation, deviation), mode="mirror", radius=(0, 5, 5)
        )
        assert np.abs(ours[row].numpy() - theirs).max() < 1e-2


def test_every_operation_is_drawn_about_equally_often():
    numbers = torch.tensor(augment.numbers(augment.policy_of([{"trivialaugment": 1.0}])))
    uniforms = draws.uniforms(torch.arange(14_000) * 7919, numbers, seed=0, epoch=0)
    counts = torch.bincount((uniforms[:, 0] * len(wide.NAMES)).long(), minlength=len(wide.NAMES))
    assert len(counts) == len(wide.NAMES) == 14 and counts.min() > 850 and counts.max() < 1150


def test_without_amount_only_what_has_none_changes_a_row():
    images = pictures()
    for name in set(wide.NAMES) - {"autocontrast", "equalize", "solarize"}:
        assert (by_us(images, name, 0.0).int() - images.int()).abs().max() <= 1, name
    assert torch.equal(by_us(images, "solarize", 0.0), torch.where(images < 255, images, 0))
