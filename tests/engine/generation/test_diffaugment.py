"""Variations move and hide what they say, by draws of each row, and let gradients through."""

import torch

from lichen.engine.generation import diffaugment


def pictures(rows=64, channels=1, side=8):
    return torch.rand(rows, channels, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_a_translation_moves_a_dot_by_an_eighth_at_most_and_fills_with_emptiness():
    x = torch.full((200, 1, 16, 16), -1.0)
    x[:, :, 7, 8] = 1.0
    moved = diffaugment.translation(x)
    assert (moved == 1.0).sum() == 200 and ((moved == 1.0) | (moved == -1.0)).all()
    places = (moved[:, 0] == 1.0).nonzero()[:, 1:]
    assert set((places[:, 0] - 7).tolist()) == set((places[:, 1] - 8).tolist()) == set(range(-2, 3))


def test_a_cutout_hides_a_square_of_half_a_side():
    x = torch.ones(300, 2, 16, 16)
    hidden = (diffaugment.cutout(x) == 0).float()
    assert hidden.sum((2, 3)).max() == 64 and (hidden[:, 0] == hidden[:, 1]).all()
    assert hidden.mean((0, 1))[8, 8] > 0.2


def test_colour_keeps_the_picture_but_for_brightness_and_contrast():
    x = pictures()
    varied = diffaugment.colour(x)
    for row, other in zip(x.flatten(1), varied.flatten(1)):
        assert torch.corrcoef(torch.stack([row, other]))[0, 1] > 0.999
    assert varied.mean((1, 2, 3)).std() > 0.2
    grey = diffaugment.colour(pictures(channels=3).mean(1, keepdim=True).expand(-1, 3, -1, -1))
    torch.testing.assert_close(grey[:, 0], grey[:, 2])


def test_gradients_reach_every_way_and_rows_draw_alone():
    for way in diffaugment.WAYS:
        x = pictures().requires_grad_()
        torch.manual_seed(1)
        y = diffaugment.apply(x, (way,))
        (gradient,) = torch.autograd.grad(y[3].sum(), x)
        assert gradient[3].abs().sum() > 0 and gradient[:3].abs().sum() == 0
        assert y.shape == x.shape


def test_nothing_is_varied_unasked():
    x = pictures()
    assert diffaugment.apply(x, ()) is x
