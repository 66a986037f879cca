"""The two learn what the rows are, resume to the same bytes, and stop where they go nowhere."""

import numpy as np
import pytest
import torch
from quiet import Quiet, Stopped
from torch import nn

from lichen.core.errors import DivergedError
from lichen.data.batches import Batches
from lichen.engine.generation import duel, generating, spectral
from lichen.engine.generation.adversary import ADVERSARIES
from lichen.engine.generation.bout import Rules
from lichen.engine.modules import architecture

CODES, CLASSES, SHAPE = 6, 2, (1, 8, 8)


def rows(num_rows=64):
    """Dark and bright pictures, each with a stripe of its own."""
    draws = np.random.default_rng(0)
    targets = np.arange(num_rows) % 2
    images = 50 + 120 * targets[:, None, None, None] + draws.integers(-20, 20, (num_rows, *SHAPE))
    images[np.arange(num_rows), :, draws.integers(0, 8, num_rows)] += 60
    pixels = torch.from_numpy(images.clip(0, 255).astype("uint8"))
    return Batches(images=pixels, targets=torch.from_numpy(targets), ids=torch.arange(num_rows),
                   batch_size=16, drops_last=True)  # fmt: skip


def nets(is_normed=True):
    torch.manual_seed(0)
    generator = architecture.build("generator", {"image_shape": list(SHAPE), "width": 4}, (CLASSES, CODES), 0)
    discriminator = architecture.build("discriminator", {"width": 4}, SHAPE, CLASSES)
    return generator, spectral.normed(discriminator) if is_normed else discriminator


def fought(run, *, epochs=2, generator=None, **rules):
    made, judge = nets(rules.pop("is_normed", True))
    told = {"loss": "hinge", "rate": 0.002, "discriminator_rate": 0.004, "augment": ("translation",), **rules}
    made_rules = Rules(epochs=epochs, num_codes=CODES, num_classes=CLASSES, **told)
    return duel.fight(generator or made, judge, rows(), made_rules, run=run)


def tensors(found):
    return {
        **found.generator.tensors(),
        **{f"d.{name}": t for name, t in found.discriminator.tensors().items()},
    }


@pytest.mark.parametrize("loss", ["hinge", "relativistic"])
def test_a_killed_run_resumes_to_the_same_bytes(loss):
    whole = tensors(fought(Quiet(), loss=loss, critic_steps=2, schedule="linear"))
    killed = Quiet(stop_after=5, every=2)
    with pytest.raises(Stopped):
        fought(killed, loss=loss, critic_steps=2, schedule="linear")
    again = Quiet(kept=killed.kept)
    found = tensors(fought(again, loss=loss, critic_steps=2, schedule="linear"))
    assert all(torch.equal(whole[name], found[name]) for name in whole) and whole.keys() == found.keys()
    assert len(again.history()) < 8


def test_a_planted_loss_of_state_is_seen():
    whole = tensors(fought(Quiet()))
    killed = Quiet(stop_after=3)
    with pytest.raises(Stopped):
        fought(killed)
    for name in list(killed.kept[1]):
        if "discriminator/optimizer" in name and name.endswith("square"):
            del killed.kept[1][name]
    try:
        found = tensors(fought(Quiet(kept=killed.kept)))
    except (KeyError, RuntimeError):
        return
    assert not all(torch.equal(whole[name], found[name]) for name in whole)


@pytest.mark.parametrize("loss", ADVERSARIES)
def test_every_loss_moves_both(loss):
    before = {name: t.clone() for net in nets() for name, t in net.named_parameters()}
    found = fought(Quiet(), loss=loss, epochs=1, precision="float32")
    for side in (found.generator.module, found.discriminator.module):
        for name, parameter in side.named_parameters():
            assert torch.isfinite(parameter).all()
            is_alike = name == "head.shared.bias"  # pushed as far up by real rows as down by made ones
            assert is_alike or not torch.equal(parameter, before[name]), name


@pytest.mark.slow
def test_the_generator_learns_how_bright_each_class_is():
    found = fought(Quiet(), epochs=30, rate=0.004, discriminator_rate=0.004, ema=0.9)
    assert found.generator.average
    settled = generating.settled(found.generator.module, found.generator.average.tensors, torch.arange(2),
                                 num_codes=CODES, num_classes=CLASSES, seed=0, batch_size=32)  # fmt: skip
    codes = generating.codes(64, CODES, seed=1)
    means = [generating.pictures(settled, np.full(64, k), codes, CLASSES).mean() for k in range(2)]
    real = rows()
    wanted = [real.images[real.targets == k].float().mean().item() for k in range(2)]
    assert abs(means[0] - wanted[0]) < 40 and abs(means[1] - wanted[1]) < 40 and means[1] - means[0] > 60


def test_spectral_norm_holds_every_matrix_at_one_and_the_plain_net_answers_the_same():
    found = fought(Quiet(), epochs=6, discriminator_rate=0.05)
    judge, x = found.discriminator.module.eval(), torch.randn(3, *SHAPE)
    with torch.no_grad():
        said = judge(x)
        plain = spectral.plain(judge)
        torch.testing.assert_close(plain(x), said)
    matrices = [p.flatten(1) for p in plain.parameters() if p.ndim > 1]
    assert all(0.8 < torch.linalg.matrix_norm(matrix, 2) < 1.3 for matrix in matrices)
    assert not any("parametrizations" in name for name in plain.state_dict())


class Stuck(nn.Module):
    """One picture whatever the code."""

    def __init__(self):
        super().__init__()
        self.picture = nn.Parameter(torch.zeros(1, *SHAPE))
        self.conv = nn.Conv2d(1, 1, 1)

    def forward(self, x):
        return self.conv(self.picture).tanh().expand(len(x), -1, -1, -1)


def test_a_planted_collapse_ends_the_training():
    run = Quiet()
    with pytest.raises(DivergedError, match="collapsed"):
        fought(run, epochs=20, generator=Stuck())
    assert run.history()[-1]["epoch"] < 20


def test_a_planted_collapse_is_seen_where_a_batch_has_one_row_of_each_of_many_classes():
    y = torch.arange(256) % 64
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (256, *SHAPE), generator=draws, dtype=torch.uint8)
    batches = Batches(images=images, targets=y, ids=torch.arange(256), batch_size=64, is_shuffled=False)
    torch.manual_seed(0)
    judge = spectral.normed(architecture.build("discriminator", {"width": 4}, SHAPE, 64))
    rules = Rules(epochs=3, num_codes=CODES, num_classes=64, loss="hinge", rate=0.002,
                  discriminator_rate=0.004)  # fmt: skip
    with pytest.raises(DivergedError, match="collapsed"):
        duel.fight(Stuck(), judge, batches, rules, run=Quiet())


def test_a_loss_that_is_not_finite_ends_the_training():
    with pytest.raises(DivergedError, match="became"):
        fought(Quiet(), rate=1e30, discriminator_rate=1e30, is_normed=False, epochs=4)
