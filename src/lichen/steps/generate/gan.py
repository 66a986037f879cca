"""gan: a generator learns to make pictures of each class that a discriminator cannot tell from real ones.

Papers: Goodfellow et al. 2014; Miyato and Koyama 2018 for classes; of the losses see
`engine/generation/adversary`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.schema import Count, Fraction, Net, Positive, Seed
from lichen.core.step import step
from lichen.data import batches, png
from lichen.data.images import Images
from lichen.engine.generation import duel, generating, sheets, spectral  # fmt: skip
from lichen.engine.generation.bout import Duel, Rules
from lichen.engine.inputs import codes, images  # fmt: skip
from lichen.engine.modules import architecture, backend  # fmt: skip
from lichen.engine.training import execution, supervised  # fmt: skip

GRIDS = 8
"""Grids of samples over a training."""
WAYS = {
    "none": (), "translation": ("translation",), "translation_cutout": ("translation", "cutout"),
    "all": ("colour", "translation", "cutout"),
}  # fmt: skip
"""Ways of `engine/generation/diffaugment` by the option that names them."""


@dataclass(frozen=True)
class Gan:
    """Who makes pictures, and who tells them from real ones."""

    generator: Model
    discriminator: Model


@step(splits=("train",), without=None)
def gan(
    data: Dataset,
    *,
    loss: Literal["minmax", "nonsaturating", "hinge", "wasserstein", "relativistic"] = "hinge",
    epochs: Count = 10,
    generator: Net = "generator",
    generator_options: dict | None = None,
    discriminator: Net = "discriminator",
    discriminator_options: dict | None = None,
    num_codes: Count = 64,
    image_size: Count | None = None,
    batch_size: Count | None = None,
    rate: Positive = 0.0004,
    discriminator_rate: Positive | None = None,
    beta1: Fraction = 0.0,
    beta2: Fraction = 0.99,
    schedule: Literal["constant", "linear", "cosine"] = "constant",
    critic_steps: Count = 1,
    penalty: Positive | None = None,
    spectral_norm: bool = True,
    diffaugment: Literal["none", "translation", "translation_cutout", "all"] = "translation",
    balance: Literal["none", "sampling"] = "none",
    ema: Fraction = 0.999,
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    seed: Seed = 0,
    run: Run,
) -> Gan:
    """Trains both on the train rows as they are; the data's policy does not vary them.

    Args:
        loss: minmax and nonsaturating are the first paper's, wasserstein has a gradient penalty, relativistic
            compares pairs and has penalties on real and on made pictures.
        generator: a net of `nets/` that takes codes. discriminator: one that answers per class.
        generator_options: what its builder takes, such as {"width": 64}; discriminator_options: likewise.
        num_codes: the numbers that a picture is made from.
        image_size: the side that pictures are resized to; None: their own, which must be a square.
        batch_size: real rows per step, and as many made ones; None: 64, fewer where the train rows are few.
        rate: of the generator; discriminator_rate: None: the same.
        beta1: of Adam, of both; beta2: likewise.
        critic_steps: of the discriminator for each one of the generator.
        penalty: the weight of the loss's gradient penalty; None: its usual one.
        spectral_norm: whether the discriminator's matrices are divided by their largest singular value.
        diffaugment: how pictures are varied before they are told apart; all: colour too.
        balance: sampling: all classes come equally often, as real rows and as made ones.
        ema: decay of the running average of the generator, which is what is returned.

    Returns:
        Both as Models; each can be used, exported and trained on its own.

    Raises:
        UsageError: rows have no one class each, or some of them are synthetic.
        DivergedError: a loss is not finite, the generator has collapsed, or it has nothing to learn from.
    """
    rows = _rows(data)
    shape = (rows.shape[0], image_size, image_size) if image_size else rows.shape
    made = batches.of(
        rows, batch_size=batch_size or min(64, supervised.usual_batch_size(rows.num_rows)), seed=seed,
        size=supervised.side(rows, shape), num_classes=len(data.labels), is_balanced=balance == "sampling",
        device=run.device, drops_last=True,
    )  # fmt: skip
    options = {"image_shape": list(shape), **(generator_options or {})}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        maker = architecture.build(generator, options, (len(data.labels), num_codes), 0)
        judge = architecture.build(discriminator, discriminator_options or {}, shape, len(data.labels))
        if spectral_norm:
            spectral.normed(judge)
    rules = Rules(
        loss=loss, epochs=epochs, num_codes=num_codes, num_classes=len(data.labels), rate=rate,
        discriminator_rate=rate if discriminator_rate is None else discriminator_rate, betas=(beta1, beta2),
        critic_steps=critic_steps, penalty=penalty, augment=WAYS[diffaugment], ema=ema, schedule=schedule,
        precision=precision, seed=seed,
    )  # fmt: skip
    about = {"generator": generator, "discriminator": discriminator, "parameters": _sizes(maker, judge)}
    fought = duel.fight(maker, judge, made, rules, run=run, show=_show, about=about)
    taken = {"image_shape": [1, 1, 1 + num_codes], "num_codes": num_codes, "made_shape": list(shape)}
    assets = {"labels": data.labels}
    return Gan(
        generator=backend.wrap(_settled(fought), task="image_generation", assets={**assets, **taken}),
        discriminator=backend.wrap(
            spectral.plain(judge).to("cpu"), assets={**assets, "image_shape": list(shape)}
        ),
    )


def _rows(data: Dataset) -> Images:
    """The train rows, where a generator can learn from them."""
    images.check(data, "train", ("image", "label"))
    images.check_classes(data, "train")
    if len(data.labels) > codes.LEVELS:
        raise UsageError(f"a generator knows {codes.LEVELS} classes at most; the data has {len(data.labels)}")
    if data.num_synthetic:
        raise UsageError(f"a generator learns from real rows; {data.num_synthetic} of these are synthetic",
                         hint="train it on the data before generate.synthesize")  # fmt: skip
    return data.rows("train")


def _sizes(*modules: nn.Module) -> list[int]:
    return [sum(parameter.numel() for parameter in module.parameters()) for module in modules]


def _settled(fought: Duel) -> nn.Module:
    """The averaged generator, as it draws."""
    rules, average, rows = fought.rules, fought.generator.average, fought.batches
    assert average
    drawn = torch.arange(rules.num_classes) if rows.is_balanced else rows.targets.cpu()
    with execution.in_force(fought.execution, fought.run.device):
        return generating.settled(
            fought.generator.module, average.tensors, drawn, num_codes=rules.num_codes,
            num_classes=rules.num_classes, seed=rules.seed, batch_size=rows.batch_size,
        ).to("cpu")  # fmt: skip


def _show(fought: Duel) -> None:
    """Tells the run what the averaged generator makes of the same codes, as often as GRIDS says."""
    looked = [0.0, *(look["epoch"] for look in fought.history)][-2:]
    before, now = (int(epoch * GRIDS / fought.rules.epochs) for epoch in looked)
    if now > before:
        rules = fought.rules
        sheet = sheets.samples(_settled(fought), rules.num_codes, rules.num_classes, seed=rules.seed)
        fought.run.emit("samples", epoch=looked[-1], picture=png.data_uri(sheet))
