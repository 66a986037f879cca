"""adapter: the base keeps every bit, and merged, taken off or put back on the answers are the same."""

import numpy as np
import pytest
import torch
from quiet import Quiet, Stopped
from torch import nn

import lichen as li
from lichen.core.errors import AdapterError, GateError, OptionError, UsageError
from lichen.core.session import Session, using
from lichen.core.store import Store
from lichen.engine import answer
from lichen.engine.modules import backend
from lichen.engine.task import task_of
from lichen.engine.training import adapters, merging, supervised

pytest.importorskip("peft")
adapter = li.adapt.adapter.fn
NETS = {"cifar_resnet": {"depth": 8}, "cnn": {}, "mlp": {}}
METHODS = list(merging.METHODS)


def rows(num_classes=4, seed=0, side=8):
    """Pictures whose class is which quarter is bright."""
    generator = np.random.default_rng(seed)
    targets = np.arange(128) % num_classes
    images = generator.integers(0, 120, (128, 3, side, side), dtype=np.uint8)
    half = side // 2
    for image, target in zip(images, targets):
        down, across = divmod(int(target), 2)
        image[:, down * half : (down + 1) * half, across * half : (across + 1) * half] += 80
    return li.arrays(images, targets, splits=["train"] * 96 + ["validation"] * 32)


def base(net="cifar_resnet", data=None, **options):
    return li.pretrain.load(data or rows(), net=net, net_options=NETS.get(net), weights=None, **options)


def adapted(start, data, run=None, **changes):
    """The step's plain function with every option at its default but these."""
    changes = {"epochs": 1, "head_epochs": 1, "rank": 2, "precision": "float32", **changes}
    options = li.adapt.adapter.signature.check(changes)
    return adapter(start, data, **options, run=run or Quiet())


def outputs(model, data):
    return answer.logits(model, data.rows("validation").images)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("net", NETS)
def test_merged_answers_as_unmerged_and_the_base_keeps_every_bit(net, method):
    data, start = rows(), base(net)
    model = adapted(start, data, method=method)
    assert model.part_digest("net") == start.part_digest() and model.face["base"] == start.part_digest()
    merged = li.adapt.merge(model)
    assert not merged.is_adapted and merged.num_params == start.num_params
    assert np.array_equal(outputs(merged, data), outputs(model, data))
    assert np.abs(outputs(start, data) - outputs(model, data)).max() > 1e-3
    beside = supervised.outputs_of(
        adapters.beside(model), data.rows("validation").images, task_of(model.task), model.assets
    )
    assert np.abs(beside - outputs(merged, data)).max() < 1e-4 * np.abs(beside).max()


class Normed(nn.Module):
    """A norm without parameters, which nothing can freeze."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, affine=False), nn.Linear(8, 4)

    def features(self, x_BCHW):
        return self.norm(self.conv(x_BCHW)).mean((2, 3))

    def forward(self, x_BCHW):
        return self.head(self.features(x_BCHW))


class Tied(Normed):
    """A weight that is read a second time, past the layer that an adapter stands beside."""

    def __init__(self):
        super().__init__()
        self.norm = nn.Identity()

    def features(self, x_BCHW):
        return super().features(x_BCHW) + self.conv.weight.flatten(1).sum(1)


def of_module(module, data):
    """A model whose net is found by its name in this file."""
    net = f"{__name__}:{type(module).__name__}"
    assets = {**base("mlp", data).assets, "labels": data.labels}
    return backend.wrap(module, net=net, task="image_classification", assets=assets)


def test_a_norm_that_moves_by_itself_is_refused():
    with pytest.raises(UsageError, match=r"norm\."):
        adapted(of_module(Normed(), rows()), rows(), rate=0.1)


def test_a_weight_that_is_also_read_elsewhere_is_refused():
    with pytest.raises(GateError, match="merged"):
        adapted(of_module(Tied(), rows()), rows(), rate=0.1)


def test_with_no_epochs_only_the_head_learns():
    data, start = rows(), base()
    model = adapted(start, data, epochs=0, head_epochs=4)
    before, after = start.weights(), model.weights()
    changed = {name for name in before if before[name].data != after[name].data}
    assert changed == {"head.weight", "head.bias"}


@pytest.mark.parametrize("method", ["lora", "ia3"])
def test_it_learns(method):
    data = rows()
    start = li.adapt.adapter(base("cnn"), data, head_epochs=4, epochs=0)
    after = li.adapt.adapter(base("cnn"), data, head_epochs=4, epochs=8, method=method, rate=0.02)
    assert li.evaluate(after, data).value > max(0.7, li.evaluate(start, data).value)


def test_a_killed_call_resumes_to_the_same_bytes():
    data, start = rows(), base("cnn")
    whole = adapted(start, data, epochs=3, dropout=0.2)
    run = Quiet(stop_after=5)
    with pytest.raises(Stopped):
        adapted(start, data, run=run, epochs=3, dropout=0.2)
    assert run.kept is not None
    assert adapted(start, data, run=Quiet(kept=run.kept), epochs=3, dropout=0.2).digest == whole.digest
    assert adapted(start, data, epochs=3, dropout=0.2, seed=1).digest != whole.digest


def test_other_labels_get_a_head_of_their_own_on_the_same_base():
    start = li.adapt.merge(adapted(base(), rows()))
    two = adapted(start, rows(2))
    assert two.assets["labels"] == ["0", "1"] and two.weights()["head.weight"].shape[0] == 2
    assert two.part_digest("net") == start.part_digest() and two.torch()(torch.zeros(1, 3, 8, 8)).shape == (
        1,
        2,
    )
    with pytest.raises(UsageError, match="head='new'"):
        adapted(start, rows(2), head="keep")


def test_off_and_on_again_it_is_the_same_and_another_base_is_refused():
    data, start = rows(), base()
    model = adapted(start, data)
    alone = model.adapter()
    assert alone.onto(start) == model
    other = base(seed=1)
    with pytest.raises(AdapterError, match=rf"{start.part_digest()[:10]}.*{other.part_digest()[:10]}"):
        alone.onto(other)
    with pytest.raises(AdapterError, match="onto"):
        alone.predict(data.rows("validation").images[0])


def test_a_store_grows_by_the_adapter_and_not_by_the_base(tmp_path):
    data = rows()
    store = Store(tmp_path / ".lichen")
    with using(Session(store=store)):
        start = base("cnn", data)
        before = store.added_bytes
        model = li.adapt.adapter(start, data, rank=1, epochs=1, head_epochs=1)
        added = store.added_bytes - before
    assert added <= 1.1 * model.adapter().size_bytes < 0.2 * start.size_bytes


@pytest.mark.parametrize(
    ("step", "options"),
    [("adapt.finetune", {"epochs": 1}), ("adapt.calibrate", {}),
     pytest.param("compress.prune", {"speedup": 1.3, "epochs": 0, "round_to": 1}, marks=pytest.mark.slow),
     pytest.param("compress.quantize", {"max_drop": 1.0, "runtime": "onnxruntime"}, marks=pytest.mark.slow)],
)  # fmt: skip
def test_every_step_takes_it_for_the_net_that_it_merges_to(step, options):
    data = rows()
    model = li.adapt.adapter(base("mlp", data), data, epochs=1, head_epochs=1)
    stage, name = step.split(".")
    given = () if name == "merge" else (data,)
    one = getattr(getattr(li, stage), name)
    after, same = (
        one(model, *given, **options),
        one(li.adapt.merge(model), *given, **options) if given else None,
    )
    assert not getattr(after, "is_adapted", False)
    if same is None or same.digest == after.digest:
        return
    # A Program also keeps how many numbers its model had, so that equal graphs may have other digests.
    images = data.rows("validation").images
    assert same.kind == "program" and np.array_equal(
        answer.logits(same, images), answer.logits(after, images)
    )


def test_it_is_exported_as_it_answers():
    data = rows()
    model = li.adapt.adapter(base("mlp", data), data, epochs=2, head_epochs=1, rate=0.02)
    program = li.deploy.export(model, data, runtime="onnxruntime")
    assert np.abs(outputs(program, data) - outputs(model, data)).max() < 1e-4
    plain = base("mlp", data)
    assert np.abs(outputs(program, data) - outputs(plain, data)).max() > 1e-2


def test_misused_it_says_what_to_do():
    data = rows()
    with pytest.raises(UsageError, match=r"adapt\.merge"):
        adapted(adapted(base("mlp"), data, epochs=0), data)
    for wanted in (["body.11"], []):
        with pytest.raises(OptionError, match="no layer"):
            adapted(base("mlp"), data, epochs=0, targets=wanted)
    some = adapted(base("mlp"), data, epochs=0, targets=["body.1"])
    assert some.face["adapter"]["layers"] == ["body.1"]
