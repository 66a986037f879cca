"""test_gradient: a played step has autograd's bits, and what cannot be played is left to autograd."""

import math

import pytest
import torch
from quiet import Quiet, Stopped
from torch import nn
from torch.nn import functional

from lichen.core.errors import DivergedError
from lichen.engine.fit import fit
from lichen.engine.modules import architecture, backend
from lichen.engine.training.gradient import Gradient
from lichen.engine.training.job import Settings
from lichen.engine.training.tape import Recorder, Tape

ROWS, STEPS = 8, 6


class Numbers:
    """Batches of random rows, the last one short."""

    batch_size, steps_per_epoch = ROWS, STEPS

    def epoch(self, number, start=0):
        from lichen.data.batches import Batch

        for step in range(start, STEPS):
            generator = torch.Generator().manual_seed(100 * number + step)
            num_rows = ROWS if step < STEPS - 1 else 3
            x = torch.randint(0, 256, (num_rows, 1, 4, 4), dtype=torch.uint8, generator=generator)
            yield Batch(
                x, torch.randint(0, 3, (num_rows,), generator=generator), torch.arange(num_rows), None
            )


def net(kind):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "normed":
            return architecture.build("mlp", {"width": 16, "norm": "layer"}, (1, 4, 4), 3)
        if kind == "mlp":
            return architecture.build("mlp", {"width": 16}, (1, 4, 4), 3)
        if kind == "cnn":
            return architecture.build("cnn", {"widths": [4], "dense": 8}, (1, 4, 4), 3)
        dropping = [nn.Flatten(), nn.Linear(16, 12), nn.Dropout(0.5), nn.Tanh(), nn.Linear(12, 3)]
        return nn.Sequential(*dropping)


def objective(module, x, y):
    return functional.cross_entropy(module(x.float() / 255), y, reduction="none")


def trained(kind, *, is_repeatable, run=None, goal=objective, **settings):
    module = net(kind)
    fit(module, Numbers(), Settings(epochs=3, **settings), objective=goal, run=run or Quiet(),
        is_repeatable=is_repeatable)  # fmt: skip
    return {name: bytes(array.data) for name, array in backend.arrays_of(module).items()}


@pytest.mark.parametrize("kind", ["mlp", "normed", "cnn", "dropout"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_played_steps_train_to_the_same_bytes(kind, optimizer):
    plain = trained(kind, is_repeatable=False, optimizer=optimizer)
    assert trained(kind, is_repeatable=True, optimizer=optimizer) == plain


@pytest.mark.parametrize("stop_after", [1, 2, 3, 8, 11])
def test_a_run_killed_while_it_plays_goes_on_to_the_same_bytes(stop_after):
    killed = Quiet(stop_after=stop_after)
    with pytest.raises(Stopped):
        trained("dropout", is_repeatable=True, run=killed)
    resumed = trained("dropout", is_repeatable=True, run=Quiet(kept=killed.kept))
    assert resumed == trained("dropout", is_repeatable=False)


def gradient_of(module, compute):
    return Gradient(compute, list(module.parameters()), ROWS)


def played(module, compute, num_steps=4):
    """The Gradient after some batches, and whether each gave autograd's gradients."""
    found, are_equal = gradient_of(module, compute), []
    for number, batch in zip(range(num_steps), Numbers().epoch(0)):
        torch.manual_seed(number)
        compute(batch.images, batch.targets).backward()
        wanted = [parameter.grad.clone() for parameter in module.parameters()]
        module.zero_grad()
        torch.manual_seed(number)
        found(batch.images, batch.targets)
        are_equal.append(all(torch.equal(a, p.grad) for a, p in zip(wanted, module.parameters())))
        with torch.no_grad():
            for parameter in module.parameters():
                parameter -= 0.1 * parameter.grad
        module.zero_grad()
    return found, are_equal


@pytest.mark.parametrize("kind", ["mlp", "normed", "dropout"])
def test_a_tape_is_trusted_when_it_was_compared(kind):
    module = net(kind)
    found, are_equal = played(module, lambda x, y: objective(module, x, y).mean())
    assert found.is_trusted and are_equal == [True] * 4


def test_a_loss_that_counts_its_calls_is_not_played():
    """The guard: what the second batch shows to differ is left to autograd."""
    module, calls = net("mlp"), []

    def compute(x, y):
        calls.append(1)
        return objective(module, x, y).mean() * len(calls)

    found = gradient_of(module, compute)
    for batch in Numbers().epoch(0):
        found(batch.images, batch.targets)
    assert not found.is_trusted and len(calls) == STEPS


@pytest.mark.parametrize("kind", ["batch norm", "convolution"])
def test_what_changes_its_own_state_or_cannot_be_traced_is_left_to_autograd(kind):
    layers = {"batch norm": [nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, 3)], "convolution": [net("cnn")]}
    module = nn.Sequential(*layers[kind]).train()
    found, _ = played(module, lambda x, y: objective(module, x, y).mean(), num_steps=2)
    assert found.tape is None and found.batch_size == 0


def test_numbers_read_out_cannot_be_played():
    x = torch.arange(3.0)
    with Recorder() as recorder:
        y = x * 2 if (x.sum() > 0).item() else x
    with pytest.raises(ValueError, match="played"):
        Tape(recorder.calls, (x,), (y,))


def test_a_tape_sees_weights_as_they_are_now():
    weight, x = torch.ones(2, 2, requires_grad=True), torch.eye(2)
    with Recorder() as recorder:
        y = x @ weight.t()
    tape = Tape(recorder.calls, (x,), (y,))
    with torch.no_grad():
        weight.mul_(3.0)
    assert torch.equal(tape.play(x)[0], torch.full((2, 2), 3.0))


def test_what_is_computed_of_weights_alone_follows_them_however_often_it_was_played():
    """A temperature that is learnt, for example: the interpreter keeps what constants alone give."""
    module, heat = net("mlp"), nn.Parameter(torch.zeros(1))
    both = nn.ModuleDict({"net": module, "heat": nn.ParameterDict({"log": heat})})

    def compute(x, y):
        return (objective(module, x, y) * heat.exp()).mean() + (heat.exp() * heat.sigmoid()).sum()

    found, are_equal = played(both, compute, num_steps=STEPS)
    assert found.is_trusted and are_equal == [True] * STEPS


def test_what_is_not_finite_is_found_in_its_step_also_when_played():
    class Poisoned(Numbers):
        def epoch(self, number, start=0):
            for step, batch in enumerate(super().epoch(number, start), start):
                yield batch._replace(
                    images=batch.images.float() * (math.nan if (number, step) == (1, 2) else 1)
                )

    run = Quiet()
    with pytest.raises(DivergedError, match=f"at step {STEPS + 2} "):
        fit(net("mlp"), Poisoned(), Settings(epochs=2), objective=objective, run=run, is_repeatable=True)
    assert run.decisions["retry_1"]["step"] == STEPS + 2
