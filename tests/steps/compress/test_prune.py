"""test_prune: half the work, nearly all of the answers."""

import numpy as np
import onnx
import pytest
import torch

from lichen.core import session
from lichen.core.errors import GateError, OptionError, UsageError
from lichen.core.session import Session
from lichen.core.step import by_address
from lichen.data import arrays
from lichen.engine import answer, evaluate
from lichen.engine.modules import architecture, backend, macs
from lichen.steps.compress import prune as room

prune, train = by_address("compress.prune"), by_address("pretrain.train")


def pictures():
    draws = np.random.Generator(np.random.Philox(2))
    targets = np.arange(400) % 4
    images = draws.integers(0, 120, (400, 3, 8, 8))
    for row, target in enumerate(targets):
        images[row, :, target // 2 * 4 : target // 2 * 4 + 4, target % 2 * 4 : target % 2 * 4 + 4] += 70
    return arrays.arrays(images.astype("uint8"), targets, labels=list("abcd"))


@pytest.fixture(scope="module")
def lives():
    data = pictures()
    with session.using(Session()):
        return {
            "mlp": train(data, net="mlp", epochs=4),
            "cifar_resnet": train(data, net="cifar_resnet", net_options={"depth": 8}, epochs=4),
        }, data


@pytest.mark.slow
@pytest.mark.parametrize("net", ["mlp", "cifar_resnet"])
def test_the_work_is_halved_and_the_answers_are_kept(lives, net):
    models, data = lives
    model = models[net]
    events = []
    with session.using(Session()) as here:
        here.events.sinks.append(events.append)
        pruned = prune(model, data, epochs=2, precision="float32")
    whole, slim = macs.count(model.torch(), [3, 8, 8]), macs.count(pruned.torch(), [3, 8, 8])
    assert whole >= 2 * slim
    assert (pruned.net, dict(pruned.options), dict(pruned.assets)) == (
        model.net,
        dict(model.options),
        dict(model.assets),
    )
    assert pruned.num_params < 0.8 * model.num_params
    assert evaluate.score(pruned, data, "test").value >= evaluate.score(model, data, "test").value - 0.05
    assert any(
        "multiply-accumulates" in event.get("text", "") and " ms (" in event["text"] for event in events
    )
    assert sum(event["kind"] == "history" for event in events) == 2


@pytest.mark.slow
def test_equal_calls_give_equal_bits(lives):
    models, data = lives
    with session.using(Session()):
        first, second = (prune(models["mlp"], data, importance=kind, epochs=1, precision="float32", seed=1)
                         for kind in ("taylor", "taylor"))  # fmt: skip
        other = prune(models["mlp"], data, importance="group_norm", epochs=1, precision="float32", seed=1)
    assert first.digest == second.digest != other.digest


@pytest.mark.slow
def test_a_pruned_net_is_exported_and_quantized_like_any_other(lives):
    """Also where the stream itself was narrowed, so that shortcuts choose their channels."""
    models, data = lives
    with session.using(Session()):
        pruned = prune(models["cifar_resnet"], data, speedup=12.0, round_to=1, epochs=1, precision="float32")
        assert pruned.torch().layer2[0].shortcut.taken is not None
        program = by_address("deploy.export")(pruned, data)
        small = by_address("compress.quantize")(pruned, data, max_drop=1.0, num_calibration=40)
    images = data.rows("test").images
    expected = answer.logits(pruned, images)
    np.testing.assert_allclose(answer.logits(program, images), expected, atol=1e-4 * np.abs(expected).max())
    assert small.precision == "int8"


def by_the_table(*both):
    """The times of a planted machine: a unit per sixteen inputs and outputs of a layer, and one per call."""
    found = []
    for program in both:
        held = onnx.load_from_string(bytes(program.files()["model.onnx"])).graph.initializer
        filters = [each.dims for each in held if len(each.dims) == 4]
        found.append(1.0 + sum(-(-dims[0] // 16) * -(-dims[1] // 16) for dims in filters))
    return dict(zip(("before", "after"), found, strict=True))


def by_the_weights(*both):
    """The same machine asked about nets that were not written as graphs."""
    found = []
    for model in both:
        filters = [one.shape for one in model.weights().values() if len(one.shape) == 4]
        found.append(1.0 + sum(-(-dims[0] // 16) * -(-dims[1] // 16) for dims in filters))
    return dict(zip(("before", "after"), found, strict=True))


@pytest.fixture
def planted(monkeypatch):
    """Every clock of the step by a rule, so that nothing here is timed."""
    monkeypatch.setattr(room.latency, "beside", by_the_table)
    monkeypatch.setattr(room.latency, "measured", lambda shapes, runtime: {
        str(shape): float(-(-shape.width // 16) * -(-shape.fan_in // 16)) for shape in shapes
    })  # fmt: skip


@pytest.mark.slow
def test_by_latency_a_width_is_chosen_that_the_clock_rewards(lives, planted):
    models, data = lives
    model = models["cifar_resnet"]
    with session.using(Session()):
        pruned = prune(model, data, by="latency", speedup=1.5, epochs=1, precision="float32")
    decisions = pruned.made.call.decisions
    assert decisions["gain"]["before"] / decisions["gain"]["after"] >= 1.5
    before, after = model.weights(), pruned.weights()
    for layer, kept in decisions["widths"].items():
        assert after[f"{layer}.weight"].shape[0] == kept
        assert kept == before[f"{layer}.weight"].shape[0] or kept % 16 == 0, "eights cost as much as sixteens"
    assert after["layer1.0.conv2.weight"].shape[0] == 16, "a stream that two layers write keeps its width"


def test_a_round_that_saved_more_than_it_had_to_leaves_the_next_nothing_to_do(planted, monkeypatch):
    """Only whole blocks can go here, and any that is enough for the first round is enough for both."""
    data = pictures()
    monkeypatch.setattr(room.Cut, "_program", lambda cut, module: cut.model.with_weights(
        backend.arrays_of(module)))  # fmt: skip
    monkeypatch.setattr(room.latency, "beside", by_the_weights)
    with session.using(Session()):
        model = by_address("pretrain.load")(data, net="cifar_resnet", weights=None,
                                           net_options={"depth": 8})  # fmt: skip
        pruned = prune(
            model, data, by="latency", speedup=1.15, rounds=2, round_to=64, round_epochs=0, epochs=0
        )
    first, last = (pruned.made.call.decisions[name] for name in ("round_1.widths", "widths"))
    assert 0 in first.values()
    assert all(kept == first[layer] for layer, kept in last.items()), "the second took nothing more"


@pytest.mark.slow
def test_a_block_that_is_gone_is_stored_rebuilt_exported_and_replayed(lives, planted):
    models, data = lives
    with session.using(Session()):
        pruned = prune(models["cifar_resnet"], data, by="latency", speedup=1.9, round_to=64, epochs=1,
                       precision="float32")  # fmt: skip
        program = by_address("deploy.export")(pruned, data, runtime="onnxruntime")
    gone = [layer for layer, kept in pruned.made.call.decisions["widths"].items() if kept == 0]
    assert gone and all(pruned.weights()[f"{layer}.weight"].shape[0] == 0 for layer in gone)
    images = data.rows("test").images
    expected = answer.logits(pruned, images)
    np.testing.assert_allclose(answer.logits(program, images), expected, atol=1e-4 * np.abs(expected).max())
    with session.using(Session()):
        again = prune(pruned, data, speedup=1.2, round_to=1, epochs=0, precision="float32")
    assert macs.count(again.torch(), [3, 8, 8]) < macs.count(pruned.torch(), [3, 8, 8])


@pytest.mark.slow
def test_a_net_that_became_slower_is_refused(lives, monkeypatch):
    """The planted clock says that the narrow net takes longer, every time it is asked."""
    models, data = lives
    asked = []
    monkeypatch.setattr(
        room.latency, "beside", lambda *both: asked.append(both) or {"before": 1.0, "after": 1.2}
    )  # fmt: skip
    with session.using(Session()), pytest.raises(GateError, match="must not be slower than the whole one"):
        prune(models["cifar_resnet"], data, epochs=0)
    assert len(asked) == room.RACES
    with session.using(Session()), pytest.raises(UsageError, match="0.83 times faster"):
        prune(models["cifar_resnet"], data, by="latency", speedup=1.5, epochs=0)


@pytest.mark.slow
def test_rounds_reach_the_same_target_step_by_step(lives):
    models, data = lives
    events = []
    with session.using(Session()) as here:
        here.events.sinks.append(events.append)
        pruned = prune(models["cifar_resnet"], data, rounds=2, round_epochs=1, epochs=1, precision="float32")
    assert macs.count(models["cifar_resnet"].torch(), [3, 8, 8]) >= 2 * macs.count(pruned.torch(), [3, 8, 8])
    phases = [event.get("phase") for event in events if event["kind"] == "history"]
    assert phases == ["round_1", None]


def untrained():
    torch.manual_seed(0)
    module = architecture.build("cifar_resnet", {"depth": 8}, (3, 8, 8), 4)
    assets = {"labels": list("abcd"), "mean": [0.5] * 3, "std": [0.25] * 3, "image_shape": [3, 8, 8]}
    return backend.wrap(module, task="image_classification", assets=assets)


def test_widths_that_are_told_are_those_of_the_net(monkeypatch):
    monkeypatch.setattr(room.Cut, "require_gain", lambda *_: None)
    model, told = untrained(), {"layer1.0.conv1": 5, "layer2.0.conv1": 0}
    with session.using(Session()):
        slim = prune(model, pictures(), widths=told, epochs=0)
    widths = {name: array.shape[0] for name, array in slim.weights().items() if array.numpy().ndim == 4}
    whole = {name: array.shape[0] for name, array in model.weights().items() if array.numpy().ndim == 4}
    assert widths == whole | {f"{layer}.weight": num_kept for layer, num_kept in told.items()}


@pytest.mark.parametrize(
    "options, words",
    [
        ({"widths": {"layer1.0.conv1": 5}, "speedup": 2.0}, "no `speedup`"),
        ({"widths": {"layer1.0.conv1": 5}, "by": "latency"}, "`by`"),
        ({"widths": {"layer1.0.conv1": 5}, "rounds": 2}, "`rounds`"),
        ({"widths": {"layer1.0.conf1": 5}}, "did you mean `layer1.0.conv1`"),
        ({"widths": {"layer1.0.conv1": 17}}, "0 to 16 channels, not 17"),
        ({"widths": {"layer1.0.conv1": 0.5}}, "not 0.5"),
    ],
)
def test_widths_that_cannot_be_are_refused(options, words):
    with session.using(Session()), pytest.raises(OptionError, match=words):
        prune(untrained(), pictures(), epochs=0, **options)


def test_what_each_process_would_remove_otherwise_is_refused(monkeypatch):
    monkeypatch.setattr(room, "ranks", lambda: (0, 2))
    with session.using(Session()), pytest.raises(UsageError, match="other channels"):
        prune(untrained(), pictures(), importance="taylor")
