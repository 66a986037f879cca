"""soup: means of weights, never below the best ingredient where it chooses, only of what can be mixed."""

import numpy as np
import pytest
import torch

import lichen as li
from lichen.core import recipefile
from lichen.core.array import Array
from lichen.core.errors import UsageError
from lichen.core.life import run
from lichen.core.session import Session, using


@pytest.fixture(scope="module")
def tuned():
    """Digits, and three models fine-tuned from one start."""
    with using(Session(store=None)):
        data = li.load("digits", num_train=500, validation=0.3)
        start = li.pretrain.train(data, net="cnn", epochs=2, precision="float32")
        return data, [
            li.adapt.finetune(start, data, epochs=3, rate=rate, seed=seed, freeze=freeze, precision="float32")
            for seed, (rate, freeze) in enumerate([(0.001, "norms"), (0.003, "norms"), (0.002, "norms")])
        ]


def made(data, *models, **options):
    with using(Session(store=None)):
        return li.adapt.soup(data, *models, **options)


def value(model, data):
    with using(Session(store=None)):
        return li.evaluate(model, data).value


def noisy(model, by, seed=0):
    draws = np.random.default_rng(seed)
    return model.with_weights({
        name: Array.of(array.numpy() + (by * draws.normal(size=array.shape)).astype("float32"))
        if name.endswith("weight") else array
        for name, array in model.weights().items()
    })  # fmt: skip


def test_a_uniform_soup_is_the_mean_of_every_tensor(tuned):
    data, models = tuned
    soup = made(data, *models, method="uniform").weights()
    for name, array in soup.items():
        theirs = np.mean([model.weights()[name].numpy() for model in models], axis=0)
        np.testing.assert_allclose(array.numpy(), theirs, rtol=1e-5, atol=1e-7)


def test_greedy_is_never_below_its_best_ingredient_where_it_chooses(tuned):
    data, models = tuned
    for seed in range(4):
        worse = [noisy(model, by, seed) for model, by in zip(models, (0.05, 0.2, 0.4))]
        soup = made(data, *worse)
        assert value(soup, data) >= max(value(model, data) for model in worse)


def test_greedy_leaves_a_spoilt_ingredient_out_and_uniform_does_not(tuned):
    data, models = tuned
    spoilt = noisy(models[2], 5.0)
    best = max(value(model, data) for model in models[:2])
    assert value(made(data, spoilt, *models[:2]), data) >= best
    assert value(made(data, spoilt, *models[:2], method="uniform"), data) < best


@pytest.mark.slow
def test_batch_norms_of_an_average_are_measured_where_the_ingredients_differ(tuned):
    """The mean of running figures is not the figure of the mean net; what is measured is."""
    data, _ = tuned
    with using(Session(store=None)):
        start = li.pretrain.load(data, net="cifar_resnet", net_options={"depth": 8}, weights=None)
        others = [li.adapt.finetune(start, data, epochs=2, freeze="none", seed=seed, precision="float32",
                                    rate=0.005) for seed in (1, 2)]  # fmt: skip
    module = made(data, *others, method="uniform").torch()
    norm = next(part for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d))
    seen = []
    norm.register_forward_hook(lambda part, inputs, output: seen.append(inputs[0]))
    from lichen.tasks.image_classification import TASK

    rows = data.rows("train")
    with torch.no_grad():
        module(TASK.inputs(torch.from_numpy(rows.images.copy()), others[0].assets))
    torch.testing.assert_close(norm.running_mean, seen[0].mean((0, 2, 3)), rtol=0.05, atol=0.02)


def test_models_that_cannot_be_mixed_are_refused(tuned):
    data, models = tuned
    with using(Session(store=None)):
        other = li.pretrain.train(data, net="mlp", epochs=1)
    with pytest.raises(UsageError, match="same net"):
        made(data, models[0], other)
    slim = models[1].with_weights(
        models[1].weights(), assets={**models[1].assets, "labels": list("abcdefghij")}
    )
    with pytest.raises(UsageError, match="same assets"):
        made(data, models[0], slim)


@pytest.mark.slow
def test_a_recipe_names_the_ingredients(tmp_path):
    recipe = recipefile.parse(
        "lichen: 1\ndata: {source: digits, num_train: 200}\nsteps:\n"
        "  - pretrain.train: {net: mlp, epochs: 1, as: start}\n"
        "  - adapt.finetune: {model: $start, epochs: 1, seed: 1, as: a}\n"
        "  - adapt.finetune: {model: $start, epochs: 1, seed: 2, as: b}\n"
        "  - adapt.soup: {first: $a, second: $b}\n"
    )
    with li.opened(tmp_path / ".lichen") as opened:
        model = run(recipe, opened).current["model"]
        assert [ref for ref in model.made.call.inputs] == ["data", "first", "second"]
        assert li.studies.reproduce(model).is_reproduced


def test_models_with_other_zeros_under_their_masks_are_refused(tuned):
    """Their mean would have weights where its assets say that there are none."""
    data, models = tuned
    with using(Session(store=None)):
        first, second = (li.compress.sparsify(one, data, sparsity=0.5, epochs=1) for one in models[:2])
        again = li.adapt.finetune(first, data, epochs=1, precision="float32")
    with pytest.raises(UsageError, match="same zeros in the layers that are masked; number 2"):
        made(data, first, second, method="uniform")
    mixed = made(data, first, again, method="uniform")
    for layer in mixed.assets["masks"]["layers"]:
        zeros = [one.weights()[f"{layer}.weight"].numpy() == 0 for one in (first, mixed)]
        assert np.array_equal(*zeros) and zeros[0].any()
