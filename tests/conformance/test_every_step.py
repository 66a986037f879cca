"""test_every_step: what every file of `steps/` must do; a new one is tested on the day it lands."""

import inspect
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from lichen.core import calling, find, jsonschema, key, session, signature, step
from lichen.core.dataset import SPLITS, Dataset
from lichen.core.environment import Environment
from lichen.core.life import fields_of
from lichen.data import arrays, observations
from lichen.engine.programs import graph

STEPS = sorted(find.shelf("steps"))
SMALL = {
    "epochs": 1,
    "net": "mlp",
    "num_calibration": 32,
    "head_epochs": 1,
    "max_drop": 1.0,
    "max_changed": 1.0,
    "tolerance": 0.01,
    "max_distance": None,
    "num_steps": 256,
    "num_envs": 2,
}
"""Options by name that keep a run short, whatever the step."""
OF_TEXTS = ("prepare.bpe", "pretrain.language", "adapt.head", "adapt.prompt", "compress.trim")
"""Steps that take data of texts; the others take pictures, or what an agent saw and did."""
TELLING = ("adapt.prompt", "compress.trim")
"""Those of them that take a model that tells texts."""
OF_PAIRS = ("adapt.instruct", "adapt.dpo")
"""Steps that take pairs of answers, or conversations, and a model that tells texts."""
OF_OBSERVATIONS = ("decide.clone",)
OF_TABLES = ("generate.ctgan", "augment.smote")
CONTINUOUS = ("decide.sac",)
"""Steps for environments whose actions are continuous."""
OUTSIDE = {
    "prepare.load": {"source": "digits"}, "pretrain.load": {"net": "mlp", "weights": None},
    "compress.trim": {"hidden": 0.5, "steps": 2},
    "prepare.thin": {"shares": {"a": 0.5}}, "prepare.environment": {"id": "CartPole-v1"},
    "decide.dqn": {"warmup": 200}, "decide.sac": {"warmup": 240},
    "pretrain.language": {
        "net": "gpt", "net_options": {"depth": 1, "width": 8, "num_heads": 1}, "steps": 2, "max_tokens": 16,
    },
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def written_once():
    """A Model's graph, which takes seconds; that equal ones make equal files is asked in `test_graph`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "onnx_of", cache(graph.onnx_of))
        yield


def data(address, seed=0):
    draws = np.random.Generator(np.random.Philox(seed))
    targets = np.arange(240) % 3
    if address in OF_TEXTS:
        return arrays.texts([f"{'xyz'[row % 3]} number {row}" for row in range(240)], targets)
    if address in OF_PAIRS:
        pair = {"chosen": "yes, it is", "rejected": "no"}
        return arrays.conversations([{"prompt": f"is {row} {'xyz'[row % 3]}?", **pair} for row in range(60)])
    if address in OF_OBSERVATIONS:
        seen = {split: draws.standard_normal((60, 4)) for split in SPLITS}
        return observations.dataset(seen, dict.fromkeys(SPLITS, targets[:60]), labels=["a", "b", "c"])
    if address in OF_TABLES:
        return arrays.table({"x": (draws.random(240) + targets).tolist()}, targets, ["a", "b", "c"])
    images = draws.integers(0, 90, (240, 3, 8, 8)) + 80 * targets[:, None, None, None]
    return arrays.arrays(images.astype("uint8"), targets, labels=["a", "b", "c"])


def made_of(read, rows):
    """The values that a step takes, beside data those that earlier steps make of it."""
    found = {"Dataset": rows}
    if read.address in OF_TEXTS:
        found["Model"] = step.by_address("prepare.bpe")(rows, size=260)
        if read.address in TELLING:
            small = {**OUTSIDE["pretrain.language"], "max_tokens": 128}
            found["Model"] = step.by_address("pretrain.language")(rows, found["Model"], **small)
        elif read.address.startswith("adapt."):
            found["Model"] = step.by_address("pretrain.train")(
                rows, found["Model"], net="bag", task="text_classification", epochs=1
            )
    elif read.address == "prepare.augmentations":
        varied = step.by_address("augment.policy")(rows, ops=["flip"])
        found["Model"] = step.by_address("pretrain.train")(varied, net="mlp", epochs=1)
    elif read.address in OF_PAIRS:
        from languages import drawn

        found["Model"] = drawn(max_tokens=64, depth=1)
    elif any("Model" in taken.kinds for taken in read.values):
        found["Model"] = trained()
    if any(taken.kinds == ("Program",) for taken in read.values):
        found["Program"] = step.by_address("deploy.export")(trained(), rows)
    if any(taken.name == "generator" for taken in read.values):
        found["Model"] = step.by_address("generate.gan")(rows, epochs=1, precision="float32").generator
    return found


@cache
def trained():
    """A classifier of the pictures, for every step that takes one."""
    return step.by_address("pretrain.train")(data("pretrain.train"), net="mlp", epochs=1)


def inputs(read):
    kinds = [taken.kinds for taken in read.values]
    with session.using(session.Session()):
        if ("Environment",) in kinds:
            found = acted_in(read.address, needs_model=len(kinds) > 1)
        else:
            found = made_of(read, data(read.address))
    return {taken.name: next((found[kind] for kind in taken.kinds if kind in found), None)
            for taken in read.values if not taken.may_be_none}  # fmt: skip


def acted_in(address, *, needs_model):
    """An environment, and a policy for it."""
    world = "Pendulum-v1" if address in CONTINUOUS else "CartPole-v1"
    found = {"Environment": step.by_address("prepare.environment")(id=world)}
    if needs_model:
        found["Model"] = step.by_address("decide.reinforce")(found["Environment"], num_steps=64)
    return found


def without_test(rows):
    kept = {name: split for name, split in rows.splits.items() if name != "test"}
    return Dataset(manifest={**rows.manifest, "splits": kept}, blobs=rows.blobs, root=rows.root)


def untested(value):
    """What a value is; of data what its rows are, but for those of test; of a game not its data."""
    if isinstance(value, Environment):
        options = {name: given for name, given in value.options.items() if name != "data"}
        return {**value.manifest, "options": options}
    if not isinstance(value, Dataset):
        return value.digest
    kept = without_test(value)
    return {name: split["digest"] for name, split in kept.splits.items()}, kept.schema, kept.policy


def small(read):
    if read.address == "pretrain.adopt":
        from languages import llama_folder

        return {"source": str(llama_folder(Path("llama")))}
    return {
        **{name: given for name, given in SMALL.items() if name in read.options},
        **OUTSIDE.get(read.address, {}),
    }


@pytest.mark.parametrize("address", STEPS)
def test_what_is_read_off_the_source_is_what_python_sees(address):
    read, seen = signature.of("steps", address), inspect.signature(step.by_address(address).fn)
    assert [*(taken.name for taken in read.values), *read.options] == [
        name for name in seen.parameters if name != "run"
    ]
    for name, option in read.options.items():
        default = seen.parameters[name].default
        assert option.is_required == (default is inspect.Parameter.empty)
        if not option.is_required:
            assert option.default == default


@pytest.mark.parametrize("address", STEPS)
def test_its_defaults_are_valid_and_it_has_a_caption_and_a_docstring(address):
    read = signature.of("steps", address)
    for option in read.options.values():
        if not option.is_required:
            option.check(option.default)
    assert len(read.caption) > 10
    assert len(read.doc) > 10
    assert read.returns or read.fields
    for name in read.options:
        if name not in step.by_address("pretrain.train").signature.options:
            assert name in read.doc or "seed" in name, f"the docstring does not say what `{name}` is"


@pytest.mark.parametrize("address", STEPS)
def test_a_key_needs_no_import_of_the_step_and_names_its_own_file(address):
    read = signature.of("steps", address)
    code = key.code.closure([key.step_module(address)])
    assert f"lichen.steps.{address}" in code.modules
    assert not any(module.startswith("lichen.core") for module in code.modules)
    assert any(address in str(item) for item in jsonschema.recipe()["properties"]["steps"]["items"]["anyOf"])
    removal = read.removal()
    is_input = isinstance(removal, str) and removal in ("identity", *(taken.name for taken in read.values))
    assert removal is None or is_input or set(removal) <= set(read.options)


@pytest.mark.parametrize("address", STEPS)
def test_it_is_pure_and_the_same_where_there_is_no_test_split(address):
    """Called again, on the same rows but without those of test: nothing that it returns depends on them."""
    read = signature.of("steps", address)
    given = inputs(read)
    before = {name: value.digest for name, value in given.items()}
    shorn = {name: without_test(value) if isinstance(value, Dataset) and read.splits != "split" else value
             for name, value in given.items()}  # fmt: skip
    with session.using(session.Session()) as here:
        first, again = (fields_of(calling.execute(step.by_address(address), values, small(read), here))
                        for values in (given, shorn))  # fmt: skip
    assert {name: value.digest for name, value in given.items()} == before
    assert {name: untested(value) for name, value in first.items()} == {
        name: untested(value) for name, value in again.items()
    }
    for name, value in first.items():
        assert type(value).__name__ in (read.returns or (read.fields[name],))
        assert value.made.call.step == address
        assert "test" not in value.made.call.read
