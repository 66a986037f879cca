"""headstart: pretrained weights help where they know something, and the life from scratch has no handicap."""

import pytest
from safetensors.torch import save_file

import lichen as li
from lichen.core.errors import UsageError
from lichen.core.lineage import is_pretrained
from lichen.steps.compress.prune import Cut
from lichen.studies.headstart import FROM_SCRATCH

OPTIONS = {"net": "mlp", "net_options": {"width": 32}}
SCRATCH = {"freeze": "none", "layer_decay": 1.0, "head_epochs": 0}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with li.opened(tmp_path_factory.mktemp("store") / ".lichen") as opened:
        yield opened


@pytest.fixture(scope="module")
def weights(store, tmp_path_factory):
    """A file of what a net learnt from many digits."""
    model = li.pretrain.train(li.load("digits"), epochs=15, precision="float32", **OPTIONS)
    path = tmp_path_factory.mktemp("weights") / "digits.safetensors"
    save_file(model.torch().state_dict(), path)
    return path


def life(weights, **options):
    data = li.load("digits", num_train=60, validation=0.3)
    model = li.pretrain.load(data, weights=str(weights), head="new", **OPTIONS)
    return li.adapt.finetune(model, data, epochs=2, precision="float32", **options)


def test_weights_that_know_the_digits_help_with_an_interval(weights, store):
    model = life(weights)
    found = li.studies.headstart(model)
    assert found.verdict == "helps" and found.low > 0.1
    assert found.low <= found.worth <= found.high
    assert found.worth == pytest.approx(found.pretrained - found.scratch, abs=1e-6)
    assert found.num_seeds == 1 and "over rows alone" in str(found)
    assert set(found.as_json()) >= {"worth", "low", "high", "verdict", "scratch_s"}


def test_the_life_from_scratch_is_a_plain_training_of_the_same_rows_and_epochs(weights, store):
    model = life(weights, freeze="body", layer_decay=0.3, rate=1e-6, gradual=0.5, rates={"head": 3.0})
    found = li.studies.headstart(model)
    data = li.load("digits", num_train=60, validation=0.3)
    bare = li.pretrain.load(data, weights=None, head="new", **OPTIONS)
    plain = li.adapt.finetune(bare, data, epochs=2, precision="float32", **SCRATCH)
    assert found.scratch == pytest.approx(li.evaluate(plain, data).value)


def test_what_prunes_after_fine_tuning_keeps_the_rate_of_its_recovery(weights, store, monkeypatch):
    """`prune` has a rate of its own, which cannot be None; how fast such a net is is not asked here."""
    monkeypatch.setattr(Cut, "require_gain", lambda *_: None)
    data = li.load("digits", num_train=60, validation=0.3)
    pruned = li.compress.prune(life(weights, rate=1e-6), data, speedup=1.2, rate=0.03, epochs=1)
    found = li.studies.headstart(pruned)
    plain = li.adapt.finetune(li.pretrain.load(data, weights=None, head="new", **OPTIONS), data, epochs=2,
                              precision="float32", **SCRATCH)  # fmt: skip
    again = li.compress.prune(plain, data, speedup=1.2, rate=0.03, epochs=1)
    assert found.scratch == pytest.approx(li.evaluate(again, data).value)


def test_a_life_that_learnt_an_adapter_is_refused_as_its_base_was_not_trained(weights, store):
    data = li.load("digits", num_train=60, validation=0.3)
    model = li.pretrain.load(data, weights=str(weights), head="new", **OPTIONS)
    adapted = li.adapt.adapter(model, data, epochs=1, head_epochs=0, precision="float32")
    further = li.adapt.finetune(li.adapt.merge(adapted), data, epochs=1, precision="float32")
    for value in (adapted, further):
        assert not is_pretrained(value.made.call.history()), "no hint at a study that refuses"
        with pytest.raises(UsageError, match="an adapter learns beside weights") as caught:
            li.studies.headstart(value)
        assert "finetune" in caught.value.hint


def test_options_of_a_life_from_scratch_are_options_of_its_steps():
    known = {**li.adapt.finetune.signature.options, **li.pretrain.load.signature.options}
    for name, neutral in FROM_SCRATCH.items():
        known[name].check(neutral)


def test_seeds_widen_what_is_known_and_a_life_without_weights_is_refused(weights, store):
    assert li.studies.headstart(life(weights), seeds=2).num_seeds == 2
    data = li.load("digits", num_train=60, validation=0.3)
    with pytest.raises(UsageError, match="no step of this life loaded"):
        li.studies.headstart(li.pretrain.train(data, net="mlp", epochs=1))
    with pytest.raises(UsageError, match="not trained further"):
        li.studies.headstart(
            li.adapt.prototype(li.pretrain.load(data, weights=str(weights), **OPTIONS), data)
        )
