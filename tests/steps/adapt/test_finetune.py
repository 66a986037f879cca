"""finetune: what is frozen stays to the bit, and a killed call goes on to the same bytes."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from quiet import Quiet, Stopped

import lichen as li
from lichen.core.errors import OptionError, UsageError
from lichen.engine.modules import layers
from lichen.engine.task import task_of
from lichen.engine.training import probe
from lichen.engine.training.lesson import Lesson

finetune = li.adapt.finetune.fn


def rows(num_classes=4, seed=0, side=10):
    """Pictures whose class is which quarter is bright."""
    generator = np.random.default_rng(seed)
    targets = np.arange(160) % num_classes
    images = generator.integers(0, 120, (160, 3, side, side), dtype=np.uint8)
    half = side // 2
    for image, target in zip(images, targets):
        down, across = divmod(int(target), 2)
        image[:, down * half : (down + 1) * half, across * half : (across + 1) * half] += 80
    return li.arrays(images, targets, splits=["train"] * 112 + ["validation"] * 48)


def model(data=None, **options):
    return li.pretrain.load(
        data or rows(), net="cifar_resnet", net_options={"depth": 8}, weights=None, **options
    )


def tensors(value):
    return value.torch().state_dict()


def tuned(start, data, run=None, **changes):
    """A step's plain function with every option at its default but these."""
    options = li.adapt.finetune.signature.check(changes)
    return finetune(start, data, **options, run=run or Quiet())


def changed(before, after):
    return {name for name, tensor in tensors(after).items() if not torch.equal(tensor, tensors(before)[name])}


@pytest.mark.parametrize("policy", [[], ["flip"]])
def test_with_a_frozen_body_only_the_head_learns(policy):
    data = li.augment.policy(rows(), ops=policy)
    start = model(data)
    after = tuned(start, data, freeze="body", epochs=2, head_epochs=0)
    assert changed(start, after) == {"head.weight", "head.bias"}


def test_a_head_that_learns_alone_keeps_the_zeros_of_a_sparse_model():
    data = rows()
    start = tuned(model(), data, head_kind="mlp", head_epochs=1, epochs=1)
    sparse = li.compress.sparsify(start, data, sparsity=0.5, pattern="layer", epochs=1)
    assert "head.0" in sparse.assets["masks"]["layers"]
    after = tuned(sparse, data, freeze="body", epochs=2)
    is_zero = tensors(sparse)["head.0.weight"] == 0
    assert is_zero.any() and torch.equal(tensors(after)["head.0.weight"] == 0, is_zero)
    assert changed(sparse, after) == {f"head.{part}" for part in ("0.weight", "0.bias", "2.weight", "2.bias")}


def test_frozen_layers_and_norms_keep_every_bit():
    data, start = rows(), model()
    stem = changed(start, tuned(start, data, freeze="stem", epochs=1, head_epochs=0))
    assert stem and not any(name.startswith(("conv1", "bn1")) for name in stem)
    norms = changed(start, tuned(start, data, freeze="norms", epochs=1, head_epochs=0))
    assert norms and not any("bn" in name for name in norms)
    assert any(
        "running_mean" in name
        for name in changed(start, tuned(start, data, freeze="none", epochs=1, head_epochs=0))
    )


def test_no_gradient_is_computed_for_what_is_frozen():
    module = model().torch()
    layers.freeze(module, "half")
    module(torch.randn(2, 3, 10, 10)).sum().backward()
    assert module.conv1.weight.grad is None and module.layer3[0].conv1.weight.grad is not None


def test_a_probe_on_cached_features_equals_one_that_asks_the_body_each_time():
    data, start = rows(), model()
    cached = tuned(start, data, freeze="body", epochs=3, head_epochs=0, precision="float32")
    module = start.torch()
    layers.freeze(module, "body")
    options = li.adapt.finetune.signature.check({"epochs": 3})
    from lichen.engine.training.job import Settings

    settings = Settings(epochs=3, optimizer="adamw", weight_decay=0.01, warmup=0.5, precision="float32",
                        layer_decay=options["layer_decay"])  # fmt: skip
    lesson = Lesson(task=task_of("image_classification"), data=data, assets=start.assets)
    lesson.fit(module, settings, run=Quiet())
    assert torch.allclose(tensors(cached)["head.weight"], module.head.weight, atol=1e-5)


def test_the_body_is_asked_once_per_row(monkeypatch):
    asked = []
    features = probe._features
    monkeypatch.setattr(probe, "_features", lambda *args: asked.append(args[2].num_rows) or features(*args))
    tuned(model(), rows(), freeze="body", epochs=5)
    assert sorted(asked) == [48, 112]


def test_a_new_head_is_warmed_up_alone_before_the_body_moves():
    run, data = Quiet(), rows()
    after = tuned(model(), data, run=run, epochs=1, head_epochs=4)
    phases = [fields.get("phase") for fields in run.history()]
    assert phases == ["head"] * 4 + [None] and "is_head_new" not in after.assets
    again = Quiet()
    tuned(after, data, run=again, epochs=1)
    assert [fields.get("phase") for fields in again.history()] == [None]


def test_other_labels_get_a_head_of_their_own_and_the_old_normalisation():
    start = tuned(model(normalisation="half"), rows(), epochs=1)
    after = tuned(start, rows(2, seed=5), epochs=1)
    assert after.assets["labels"] == ["0", "1"] and tensors(after)["head.weight"].shape[0] == 2
    assert after.assets["mean"] == [0.5] * 3 and after.options["num_outputs"] == 2
    with pytest.raises(UsageError, match="head='new'"):
        tuned(start, rows(2), head="keep")


def test_a_model_of_another_picture_size_learns():
    data = rows(side=10)
    start = model(data, image_size=16)
    assert tuned(start, data, epochs=1).assets["image_shape"] == [3, 16, 16]


def test_it_learns():
    data = rows()
    after = li.adapt.finetune(model(data), data, epochs=6, rate=0.01)
    assert li.evaluate(after, data).value > 0.9


@pytest.mark.parametrize("freeze", ["none", "body"])
def test_a_killed_call_resumes_to_the_same_bytes(freeze):
    data, start = rows(), model()
    whole = tuned(start, data, epochs=3, head_epochs=2, freeze=freeze)
    run = Quiet(stop_after=7)
    with pytest.raises(Stopped):
        tuned(start, data, run=run, epochs=3, head_epochs=2, freeze=freeze)
    assert run.kept is not None
    resumed = tuned(start, data, run=Quiet(kept=run.kept), epochs=3, head_epochs=2, freeze=freeze)
    assert resumed.digest == whole.digest


def test_patience_keeps_the_best_epoch():
    run, data = Quiet(), rows()
    tuned(model(), data, run=run, epochs=30, patience=1, rate=0.01)
    assert "stop" in run.decisions and len([f for f in run.history() if "phase" not in f]) < 30


def settled(start):
    """The model with a head that counts as learnt."""
    assets = {name: thing for name, thing in start.assets.items() if name != "is_head_new"}
    return start.with_weights(start.weights(), assets=assets)


def rates_applied(start, data, **options):
    """The rate of each parameter that the optimizer's one step applied, read off how far it moved.

    SGD without momentum and decay moves a weight by rate times gradient, so one over the other is the rate.
    """
    module = start.torch().train()
    layers.set_modes(module)
    task = task_of(start.task)
    train = data.rows("train")
    x = task.inputs(torch.from_numpy(train.images.copy()), start.assets)
    task.loss(module(x), torch.from_numpy(train.targets.copy())).mean().backward()
    gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
    after = tuned(
        start, data, optimizer="sgd", momentum=0.0, weight_decay=0.0, schedule="constant", warmup=0.0,
        epochs=1, batch_size=train.num_rows, head="keep", head_epochs=0, freeze="none", **options,
    )  # fmt: skip
    found = {}
    for name, gradient in gradients.items():
        moved = tensors(start)[name] - tensors(after)[name]
        place = gradient.abs().argmax()
        found[name] = (moved.flatten()[place] / gradient.flatten()[place]).item()
    return found


def test_every_layer_moves_by_its_own_rate():
    start, data = model(), rows()
    start = start.with_weights(
        start.weights(), assets={k: v for k, v in start.assets.items() if "new" not in k}
    )
    found = rates_applied(start, data, rate=0.5, layer_decay=0.6)
    wanted = layers.scales(start.torch(), 0.6)
    assert len({round(rate, 4) for rate in wanted.values()}) >= 4
    for name, rate in found.items():
        assert rate == pytest.approx(0.5 * wanted[name], rel=0.02), name


def test_parts_have_the_rates_they_are_given_and_unknown_parts_are_refused():
    start, data = model(), rows()
    start = start.with_weights(
        start.weights(), assets={k: v for k, v in start.assets.items() if "new" not in k}
    )
    found = rates_applied(
        start, data, rate=0.1, layer_decay=1.0, rates={"head": 5.0, "layer1": 0.5, "layer1.0.bn1": 2.0}
    )
    assert found["head.weight"] == pytest.approx(0.5, rel=0.02)
    assert found["layer1.0.conv1.weight"] == pytest.approx(0.05, rel=0.02)
    assert found["layer1.0.bn1.weight"] == pytest.approx(0.2, rel=0.02)
    assert found["conv1.weight"] == pytest.approx(0.1, rel=0.02)
    with pytest.raises(OptionError, match="no part `layer9`") as refusal:
        tuned(start, data, rates={"layer9": 2.0})
    assert "layer" in refusal.value.hint
    with pytest.raises(OptionError, match="above 0"):
        tuned(start, data, rates={"head": 0})


def test_layers_join_one_by_one_and_a_killed_run_goes_on_to_the_same_bytes():
    data, start = rows(), model()
    seen, real = [], layers.thaw

    def thaw(module, trained, share):
        real(module, trained, share)
        seen.append({name for name, parameter in module.named_parameters() if parameter.requires_grad})

    options = {"epochs": 4, "head_epochs": 0, "gradual": 0.75, "freeze": "none"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "thaw", thaw)
        whole = tuned(start, data, **options)
    sizes = [len(names) for names in seen]
    assert seen[0] == {"head.weight", "head.bias"} and all(a < b for a, b in pairwise(seen))
    assert sizes[-1] == len(list(start.torch().named_parameters()))
    run = Quiet(stop_after=5)
    with pytest.raises(Stopped):
        tuned(start, data, run=run, **options)
    assert tuned(start, data, run=Quiet(kept=run.kept), **options).digest == whole.digest


def test_what_waits_keeps_every_bit_of_weights_and_figures():
    data, start = rows(), model()
    after = tuned(start, data, epochs=1, head_epochs=0, gradual=1.0, freeze="none")
    assert changed(start, after) == {"head.weight", "head.bias"}


def test_what_is_frozen_stays_frozen_while_layers_join():
    data, start = rows(), model()
    after = changed(start, tuned(start, data, epochs=3, head_epochs=0, gradual=0.6, freeze="norms"))
    assert "conv1.weight" in after and not any("bn" in name for name in after)


def test_rare_classes_count_on_cached_features_too():
    data, start = rows(), model()
    plain, balanced = (tuned(start, uneven(data), freeze="body", epochs=4, balance=how, head_epochs=0)
                       for how in ("none", "sampling"))  # fmt: skip
    assert plain.digest != balanced.digest


def uneven(data):
    train, judges = data.rows("train"), data.rows("validation")
    kept = np.concatenate([np.flatnonzero(train.targets != 3), np.flatnonzero(train.targets == 3)[:3]])
    return li.arrays(np.concatenate([train.images[kept], judges.images]),
                     np.concatenate([train.targets[kept], judges.targets]),
                     splits=["train"] * len(kept) + ["validation"] * len(judges))  # fmt: skip


@pytest.mark.parametrize("changes", [{"optimizer": "muon"}, {"lookahead": 2}])
def test_other_ways_of_a_step_learn_as_well_and_keep_what_is_frozen(changes):
    data, start = rows(), model()
    after = tuned(start, data, freeze="stem", epochs=2, head_epochs=0, **changes)
    plain = tuned(start, data, freeze="stem", epochs=2, head_epochs=0)
    moved = changed(start, after)
    assert moved and moved == changed(start, plain)
    assert any(not torch.equal(tensors(after)[name], tensors(plain)[name]) for name in moved)
