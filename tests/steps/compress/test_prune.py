"""test_prune: half the work, nearly all of the answers."""

import numpy as np
import pytest
import torch

from lichen.core import session
from lichen.core.session import Session
from lichen.core.step import by_address
from lichen.data import arrays
from lichen.engine import answer, evaluate, macs
from lichen.engine.task import task_of
from lichen.steps.compress.prune import distilled

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


def test_equal_calls_give_equal_bits(lives):
    models, data = lives
    with session.using(Session()):
        first, second = (prune(models["mlp"], data, importance=kind, epochs=1, precision="float32", seed=1)
                         for kind in ("taylor", "taylor"))  # fmt: skip
        other = prune(models["mlp"], data, importance="group_norm", epochs=1, precision="float32", seed=1)
    assert first.digest == second.digest != other.digest


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


def test_distillation_is_the_kl_of_softened_outputs():
    teacher, student = torch.nn.Linear(3, 4), torch.nn.Linear(3, 4)

    class Flat(torch.nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer(x.flatten(1))

    assets = {"mean": [0.0] * 3, "std": [1.0] * 3}
    x, y = torch.randint(0, 256, (5, 3, 1, 1), dtype=torch.uint8), torch.arange(5) % 4
    task = task_of("image_classification")
    found = distilled(Flat(teacher), task, assets, 0.25)(Flat(student), x, y)
    plain = x.flatten(1) / 255
    t, s = (torch.softmax(layer(plain) / 4.0, -1) for layer in (teacher, student))
    expected = 0.75 * torch.nn.functional.cross_entropy(student(plain), y, reduction="none") + 0.25 * 16 * (
        t * (t / s).log()).sum(-1)  # fmt: skip
    torch.testing.assert_close(found, expected)
    assert not teacher.weight.requires_grad
