"""test_fit: equal runs give equal bytes, killed or not; what is not finite never reaches the weights."""

import math

import pytest
import torch
from quiet import Quiet, Stopped
from torch import nn

from lichen.core.errors import DivergedError
from lichen.data.batches import Batch
from lichen.engine.fit import Judge, Settings, fit
from lichen.engine.modules import architecture, backend, convolution
from lichen.engine.training.execution import Execution, in_force

ROWS, STEPS, EPOCHS = 16, 5, 3


class Numbers:
    """Random rows, in an order of (epoch, step)."""

    batch_size, steps_per_epoch = ROWS, STEPS

    def __init__(self):
        generator = torch.Generator().manual_seed(1)
        self.x = torch.randint(0, 256, (STEPS * ROWS, 1, 4, 4), dtype=torch.uint8, generator=generator)
        self.y = torch.randint(0, 3, (STEPS * ROWS,), generator=generator)

    def epoch(self, number, start=0):
        order = torch.randperm(len(self.y), generator=torch.Generator().manual_seed(number))
        for step in range(start, self.steps_per_epoch):
            rows = order[step * ROWS : (step + 1) * ROWS]
            yield Batch(self.x[rows], self.y[rows], rows)


class One(Numbers):
    steps_per_epoch = 1


def objective(module, x, y):
    return nn.functional.cross_entropy(module(x.float() / 255), y, reduction="none")


def net():
    """Convolution, batch norm and dropout: weights, buffers and random draws."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3)
        )


def digest(module):
    return {name: bytes(array.data) for name, array in backend.arrays_of(module).items()}


def trained(run, settings=None, goal=objective, judge=None, callback=None):
    module = net()
    settings = settings or Settings(epochs=EPOCHS, ema=0.9, optimizer="adamw")
    history = fit(module, Numbers(), settings, objective=goal, run=run, judge=judge, callback=callback)
    return digest(module), history


def weight_sum(module):
    return {"weight": float(sum(parameter.double().sum() for parameter in module.parameters()))}


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "muon"])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_a_killed_run_resumes_to_the_same_bytes(optimizer, layout):
    settings = Settings(
        epochs=EPOCHS, optimizer=optimizer, ema=0.9, patience=5, clip=0.5, lookahead=3, units="rows",
        bias_rate=0.2,
    )  # fmt: skip
    execution = {"threads": 1, "precision": "float32", "layout": layout}
    judge = Judge(measure=weight_sum, headline="weight")
    whole = trained(Quiet(execution=execution), settings, judge=judge)
    for stop_after in (1, 4, 5, 7, 10, 13):
        killed = Quiet(execution=execution, stop_after=stop_after)
        with pytest.raises(Stopped):
            trained(killed, settings, judge=judge)
        assert trained(Quiet(execution=execution, kept=killed.kept), settings, judge=judge) == whole


def test_a_resumed_run_computes_as_the_killed_one_did():
    wide = {"threads": 1, "precision": "float32", "layout": "channels_last", "convolution": "direct"}
    killed = Quiet(execution=wide, stop_after=7)
    with pytest.raises(Stopped):
        trained(killed)
    other = Quiet(execution="measured", kept=killed.kept)
    assert trained(other) == trained(Quiet(execution=wide))
    assert other.decisions["execution"] == wide


def test_convolutions_as_products_resume_to_the_same_bytes_too(monkeypatch):
    monkeypatch.setattr(convolution, "CHANNELS", 1)
    chosen = {"threads": 1, "precision": "float32", "layout": "channels_last", "convolution": "product"}
    settings = Settings(epochs=EPOCHS)
    whole = trained(Quiet(execution=chosen), settings)
    killed = Quiet(execution=chosen, stop_after=7)
    with pytest.raises(Stopped):
        trained(killed, settings)
    assert trained(Quiet(execution=chosen, kept=killed.kept), settings) == whole


def test_equal_runs_give_equal_bytes_and_another_seed_does_not():
    assert trained(Quiet()) == trained(Quiet())
    other = Settings(epochs=EPOCHS, ema=0.9, optimizer="adamw", seed=1)
    assert trained(Quiet())[0] != trained(Quiet(), other)[0]


def test_the_global_state_of_torch_is_put_back():
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state()
    with in_force(Execution(threads=1), "cpu"):
        torch.rand(3)
    trained(Quiet())
    after = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state()
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])


def explodes(at, times=math.inf, value=math.nan):
    """An objective whose loss is not finite from call `at` on, so often."""
    calls = {"count": 0}

    def goal(module, x, y):
        calls["count"] += 1
        is_bad = at <= calls["count"] < at + times
        return objective(module, x, y) * (value if is_bad else 1.0)

    return goal


def test_a_loss_that_is_not_finite_goes_back_to_the_epoch_and_halves_the_rate():
    run = Quiet()
    _, history = trained(run, goal=explodes(8, times=1))
    assert run.decisions["retry_1"] == {"step": 7, "back_to": 5, "rate_scale": 0.5}
    assert history[1]["rate"] == trained(Quiet())[1][1]["rate"] / 2
    assert all(math.isfinite(entry["loss"]) for entry in history)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_divergence_names_step_and_rate_and_is_never_checkpointed(value):
    run = Quiet()
    with pytest.raises(DivergedError, match=r"at step 5 with rate .*after 3 retries"):
        trained(run, goal=explodes(8, value=value))
    assert [name for name in run.decisions if name.startswith("retry")] == ["retry_1", "retry_2", "retry_3"]
    for name, array in run.kept[1].items():
        if array.dtype == "float32":
            assert torch.isfinite(backend.tensor_of(array)).all(), name


def test_a_gradient_that_is_not_finite_is_caught_where_the_loss_is_finite():
    class Spike(torch.autograd.Function):
        @staticmethod
        def forward(context, x):
            return x.clone()

        @staticmethod
        def backward(context, gradient):
            return gradient * math.inf

    with pytest.raises(DivergedError, match="at step 0"):
        trained(Quiet(), goal=lambda module, x, y: Spike.apply(objective(module, x, y)))


def test_a_fault_after_a_resume_goes_back_to_the_same_place():
    class Poisoned(Numbers):
        """Rows that are not numbers once, at the ninth step of a life that has not seen them."""

        def __init__(self):
            super().__init__()
            self.seen = False

        def epoch(self, number, start=0):
            for step, (x, y, rows, _) in enumerate(super().epoch(number, start), start):
                is_bad = (number, step) == (1, 3) and not self.seen
                self.seen = self.seen or is_bad
                yield Batch(x.float() * math.nan if is_bad else x, y, rows)

    def run_once(run):
        module = net()
        fit(module, Poisoned(), Settings(epochs=2), objective=objective, run=run)
        return digest(module)

    whole, killed = Quiet(), Quiet(stop_after=7)
    expected = run_once(whole)
    with pytest.raises(Stopped):
        run_once(killed)
    resumed = Quiet(kept=killed.kept)
    assert run_once(resumed) == expected
    assert resumed.decisions == whole.decisions and "retry_1" in whole.decisions


def test_a_retry_before_the_kill_stays_recorded_after_it():
    killed = Quiet(stop_after=12)
    with pytest.raises(Stopped):
        trained(killed, goal=explodes(8, times=1))
    resumed = Quiet(kept=killed.kept)
    assert trained(resumed) == trained(Quiet(), goal=explodes(8, times=1))
    assert "retry_1" in resumed.decisions


def test_patience_keeps_the_best_epoch_and_records_the_stop():
    values = iter([0.1, 0.9, 0.5, 0.4, 0.3, 0.2, 0.1])
    run, seen = Quiet(), []

    def measure(module):
        seen.append(digest(module))
        return {"accuracy": next(values)}

    judge = Judge(measure=measure, headline="accuracy")
    weights, history = trained(run, Settings(epochs=7, patience=2), judge=judge)
    assert len(history) == 4
    assert run.decisions["stop"] == {"epoch": 4, "best": 2}
    assert weights == seen[1]


def test_no_patience_stops_at_the_first_epoch_that_is_not_better_and_not_before():
    values = iter([0.1, 0.5, 0.9, 0.9, 0.95])
    judge = Judge(measure=lambda module: {"accuracy": next(values)}, headline="accuracy")
    run = Quiet()
    _, history = trained(run, Settings(epochs=5, patience=0), judge=judge)
    assert len(history) == 4
    assert run.decisions["stop"] == {"epoch": 4, "best": 3}


def test_a_callback_that_returns_true_stops():
    run = Quiet()
    _, history = trained(run, callback=lambda figures: figures["epoch"] == 2)
    assert len(history) == 2
    assert run.history() == history


def test_the_history_holds_the_mean_loss_over_rows():
    module = net()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    history = fit(module, Numbers(), Settings(epochs=1, rate=0.0), objective=objective, run=Quiet())
    assert history[0]["loss"] == pytest.approx(math.log(3), rel=1e-5)


def test_one_step_of_sgd_is_its_closed_form():
    module = architecture.build("mlp", {"depth": 0}, (1, 4, 4), 3)
    weight, bias = (parameter.detach().clone() for parameter in module.parameters())
    x, y, *_ = next(One().epoch(0))
    x = x.flatten(1).float() / 255
    error = torch.softmax(x @ weight.T + bias, 1) - nn.functional.one_hot(y, 3)
    settings = Settings(epochs=1, rate=0.1, weight_decay=0.01, momentum=0.9, schedule="constant")
    fit(module, One(), settings, objective=objective, run=Quiet())
    # Nesterov's first step from rest is g + m g.
    expected = weight - 0.1 * 1.9 * (error.T @ x / ROWS + 0.01 * weight)
    torch.testing.assert_close(module.head.weight.detach(), expected)
    torch.testing.assert_close(module.head.bias.detach(), bias - 0.1 * 1.9 * error.mean(0))


def test_a_row_counts_what_its_batch_says():
    """Rows that count twice or not at all, by turns, are the half that counts, once."""

    class Weighed(One):
        def epoch(self, number, start=0):
            for x, y, rows, _ in super().epoch(number, start):
                counts = torch.tensor([2.0, 0.0]).repeat(ROWS // 2)
                yield Batch(x, y, rows, counts)

    class Half(One):
        def epoch(self, number, start=0):
            for x, y, rows, _ in super().epoch(number, start):
                yield Batch(x[::2], y[::2], rows[::2])

    def stepped(batches):
        module = architecture.build("mlp", {"depth": 0}, (1, 4, 4), 3)
        nn.init.zeros_(module.head.weight)
        nn.init.zeros_(module.head.bias)
        settings = Settings(epochs=1, rate=0.1, weight_decay=0.0, momentum=0.0, schedule="constant")
        fit(module, batches, settings, objective=objective, run=Quiet())
        return module.head.weight.detach()

    torch.testing.assert_close(stepped(Weighed()), stepped(Half()))
    assert not torch.allclose(stepped(Weighed()), stepped(One()))


def test_clipping_bounds_the_step():
    module = net()
    before = [parameter.detach().clone() for parameter in module.parameters()]
    settings = Settings(epochs=1, rate=1.0, weight_decay=0.0, momentum=0.0, schedule="constant", clip=1e-3)
    fit(module, One(), settings, objective=objective, run=Quiet())
    change = sum(
        ((a.detach() - b) ** 2).sum() for a, b in zip(module.parameters(), before, strict=True)
    ).sqrt()
    assert float(change) == pytest.approx(1e-3, rel=1e-3)


def test_a_frozen_batch_norm_keeps_its_figures():
    module = net()
    for parameter in module[:2].parameters():
        parameter.requires_grad_(False)
    before = digest(module)
    fit(module, Numbers(), Settings(epochs=1), objective=objective, run=Quiet())
    changed = {name for name, data in digest(module).items() if data != before[name]}
    assert changed == {"5.weight", "5.bias"}


def test_a_callback_that_stops_at_the_best_epoch_keeps_it():
    values, run, seen = iter([0.5, 0.8, 0.95]), Quiet(), []

    def measure(module):
        seen.append(digest(module))
        return {"accuracy": next(values)}

    judge = Judge(measure=measure, headline="accuracy")
    weights, _ = trained(run, Settings(epochs=7, patience=3), judge=judge,
                         callback=lambda figures: figures["accuracy"] >= 0.9)  # fmt: skip
    assert len(seen) == 3 and weights == seen[-1]
    assert run.decisions["stop"] == {"epoch": 3, "best": 3}


def test_a_first_figure_that_is_no_number_is_beaten_by_any():
    values = iter([math.nan, 0.8, 0.7, 0.7, 0.7])
    judge = Judge(measure=lambda module: {"accuracy": next(values)}, headline="accuracy")
    run = Quiet()
    trained(run, Settings(epochs=5, patience=2), judge=judge)
    assert run.decisions["stop"] == {"epoch": 4, "best": 2}
