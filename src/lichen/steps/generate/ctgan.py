"""ctgan: a generator learns to make rows of a table, of each class, that a critic cannot tell from real ones.

Paper: Xu et al. 2019, "Modeling Tabular Data using Conditional GAN". Departs from it: see `nets/ctgan` and
`data/modes`; the critic has no dropout.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lichen.core.dataset import Dataset
from lichen.core.errors import DataError, UsageError
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.schema import Count, Fraction, Positive, Seed
from lichen.core.step import step
from lichen.data import encoder
from lichen.data.tabular import Tabular
from lichen.engine.generation import contest, generating
from lichen.engine.generation.asking import Table
from lichen.engine.generation.contest import Contest, Terms
from lichen.engine.modules import architecture, backend
from lichen.engine.scores import classes
from lichen.nets.ctgan import NUM_CHOOSING, Rows


@dataclass(frozen=True)
class Gan:
    """Who makes rows, and who tells packs of them from real ones."""

    generator: Model
    discriminator: Model


@step(splits=("train",), without=None)
def ctgan(
    data: Dataset,
    *,
    epochs: Count = 300,
    width: Count = 256,
    num_codes: Count = 128,
    pack: Count = 10,
    batch_size: Count = 500,
    rate: Positive = 0.0002,
    beta1: Fraction = 0.5,
    beta2: Fraction = 0.9,
    penalty: Positive = 10.0,
    ema: Fraction = 0.99,
    seed: Seed = 0,
    run: Run,
) -> Gan:
    """Trains both on the train rows of a table.

    Args:
        width: of both nets' layers.
        num_codes: the numbers that a row is made from, beside those that choose.
        pack: rows that are judged together.
        batch_size: rows of a step; a multiple of `pack`, no more than there are train rows.
        beta1: of Adam, of both; beta2: likewise.
        penalty: the weight of the gradient penalty.
        ema: decay of the running average of the generator, which is what is returned.

    Returns:
        Both as Models. The generator is asked for a class, and answers with a row.

    Raises:
        UsageError: the data is no table, or some of its rows are synthetic.
        DataError: there are fewer train rows than a pack has.
        DivergedError: a loss is not finite, or the generator has collapsed.
    """
    rows = _rows(data, pack)
    told = encoder.fitted(rows, is_way_back=True)
    x_NW = torch.from_numpy(told.encode(rows.records))
    table = Table.of(x_NW, torch.from_numpy(rows.targets.copy()), told, len(data.labels))
    spans = [list(span) for column in told.columns for span in column.spans]  # type: ignore[union-attr]
    length = NUM_CHOOSING + num_codes + sum(size for kind, size in spans if kind == "choice")
    options = {"spans": spans, "levels": table.levels, "width": width}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        maker = architecture.build("ctgan", options, (len(data.labels), length), 0)
        judged = pack * (told.width + len(data.labels) + sum(table.levels))
        critic = architecture.build("mlp", {"width": width, "activation": "gelu"}, (judged,), 1)
    assert isinstance(maker, Rows)
    maker.shares.copy_(table.shares())
    terms = Terms(
        epochs=epochs, batch_size=min(batch_size, rows.num_rows) // pack * pack, pack=pack, rate=rate,
        betas=(beta1, beta2), penalty=penalty, ema=ema, seed=seed,
    )  # fmt: skip
    held = contest.hold(maker, critic, table, terms, run=run)
    assets = {"labels": data.labels, "encoder": told.asset(), "num_codes": length,
              "image_shape": [1, 1, 1 + length]}  # fmt: skip
    return Gan(
        generator=backend.wrap(_settled(held, length), task="tabular_generation", assets=assets),
        discriminator=backend.wrap(critic.to("cpu"), assets={"observation_shape": [judged]}),
    )


def _rows(data: Dataset, pack: int) -> Tabular:
    if "tabular" not in data.schema:
        raise UsageError("there are no rows of a table to learn from",
                         hint="li.table and load(features=) read tables")  # fmt: skip
    classes.check(data, "train", ("features", "label"))
    if data.num_synthetic:
        raise UsageError(f"a generator learns from real rows; {data.num_synthetic} of these are synthetic",
                         hint="train it on the data before generate.synthesize")  # fmt: skip
    if data.num_rows("train") < pack:
        raise DataError(f"there must be {pack} train rows at least; there are {data.num_rows('train')}")
    return data.rows("train")


def _settled(held: Contest, length: int) -> torch.nn.Module:
    """The averaged generator, as it draws."""
    average, table = held.generator.average, held.table
    assert average
    return generating.settled(
        held.maker, average.tensors, table.y_N, num_codes=length, num_classes=table.num_classes,
        seed=held.terms.seed, batch_size=held.terms.batch_size,
    ).to("cpu")  # fmt: skip
