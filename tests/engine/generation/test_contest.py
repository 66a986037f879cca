"""The two learn side by side: resumed runs end in the same bytes, and faults are told."""

import numpy as np
import pytest
import torch
from quiet import Quiet, Stopped

import lichen as li
from lichen.core.array import Array
from lichen.core.errors import DivergedError
from lichen.data import encoder
from lichen.engine.generation import contest
from lichen.engine.generation.asking import Table
from lichen.engine.generation.contest import Terms
from lichen.engine.modules import architecture
from lichen.nets.ctgan import NUM_CHOOSING

PACK, OWN, WIDTH = 4, 3, 8


def table(num_rows=48):
    """A number, a word, and empty cells in both."""
    draws = np.random.default_rng(0)
    y = np.arange(num_rows) % 2
    x = [None if row % 11 == 0 else round(float(draws.normal(6.0 * y[row])), 3) for row in range(num_rows)]
    words = [("moss", "bark", "")[int(draws.integers(3))] for _ in range(num_rows)]
    data = li.table({"x": x, "word": words}, y, ["low", "high"], ["train"] * num_rows, duplicates="drop")
    rows = data.rows("train")
    told = encoder.fitted(rows, is_way_back=True)
    numbers = torch.from_numpy(told.encode(rows.records))
    return told, Table.of(numbers, torch.from_numpy(rows.targets.copy()), told, 2)


TOLD, ROWS = table()


def held(run, *, epochs=3, rate=0.002):
    spans = [list(span) for column in TOLD.columns for span in column.spans]
    length = NUM_CHOOSING + OWN + sum(size for kind, size in spans if kind == "choice")
    torch.manual_seed(0)
    options = {"spans": spans, "levels": ROWS.levels, "width": WIDTH}
    maker = architecture.build("ctgan", options, (2, length), 0)
    judged = PACK * (TOLD.width + 2 + sum(ROWS.levels))
    critic = architecture.build("mlp", {"width": WIDTH, "activation": "gelu"}, (judged,), 1)
    maker.shares.copy_(ROWS.shares())
    terms = Terms(epochs=epochs, batch_size=16, pack=PACK, rate=rate, betas=(0.5, 0.9), penalty=10.0, ema=0.9,
                  seed=0)  # fmt: skip
    return contest.hold(maker, critic, ROWS, terms, run=run)


def tensors(found):
    """All that a training has come to: both nets, the average, and both optimizers' memory."""
    return {f"{name}/{key}": t for name, side in found.sides.items() for key, t in side.tensors().items()}


@pytest.mark.parametrize("stop_after", [1, 5, 8])
def test_a_killed_run_resumes_to_the_same_bytes(stop_after):
    whole, killed = Quiet(), Quiet(stop_after=stop_after, every=2)
    expected = tensors(held(whole))
    with pytest.raises(Stopped):
        held(killed)
    again = Quiet(kept=killed.kept)
    found = tensors(held(again))
    assert expected.keys() == found.keys() and any("average" in name for name in found)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert [again.history()[-1]] == [whole.history()[-1]]
    assert stop_after < 2 or len(again.history()) < len(whole.history())


@pytest.mark.parametrize("part", ["generator/", "critic/", "average", "square"])
def test_a_planted_loss_of_state_is_seen(part):
    expected = tensors(held(Quiet()))
    killed = Quiet(stop_after=5)
    with pytest.raises(Stopped):
        held(killed)
    state, arrays = killed.kept
    for name in [name for name in arrays if part in name]:
        arrays[name] = Array.of(np.zeros_like(arrays[name].numpy()))
    found = tensors(held(Quiet(kept=(state, arrays))))
    assert not all(torch.equal(expected[name], found[name]) for name in expected)


def test_packs_hold_rows_beside_what_they_were_asked_to_be():
    torch.manual_seed(0)
    asked = ROWS.drawn(16)
    packs = contest.packed(asked.real, asked, PACK)
    width = TOLD.width + 2 + sum(ROWS.levels)
    assert packs.shape == (4, PACK * width)
    apart = packs.view(16, width)
    assert torch.equal(apart[:, : TOLD.width], asked.real)
    assert torch.equal(apart[:, TOLD.width :], torch.cat([asked.classes, asked.marks], 1))


def test_a_loss_that_is_no_number_stops_with_a_lower_rate_as_hint():
    with pytest.raises(DivergedError, match="at step") as caught:
        held(Quiet(), epochs=40, rate=1e30)
    assert caught.value.hint.startswith("try a rate of")
