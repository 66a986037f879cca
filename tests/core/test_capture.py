"""Functions of a notebook: what they use counts, nothing else does, and what cannot be hashed is named."""

from __future__ import annotations

import importlib
import linecache
import os
import sys
import textwrap
import threading
from itertools import count

import pytest
import torch
import toy

import lichen as li
from lichen.core import capture, key, own, step
from lichen.core.dataset import Dataset
from lichen.core.errors import UnkeyableError
from lichen.core.session import Session

_cells = count()


def cell(text: str, **names):
    """Runs a text as a notebook cell and returns its names."""
    text, file = textwrap.dedent(text), f"<capture {next(_cells)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    scope = {"__name__": "__main__", "li": li, **names}
    exec(compile(text, file, "exec", dont_inherit=True), scope)
    return scope


def code_of(text: str, **names):
    return capture.function(cell(text, **names)["f"]).digest


def test_names_that_are_only_local_do_not_count():
    text = "def f(a):\n    x = a\n    return [y for y in x]\n"
    assert code_of(text) == code_of(text, x=object(), y=open, a=iter(()))
    assert code_of("def f(a):\n    return a.x\n", x=1) == code_of("def f(a):\n    return a.x\n", x=2)


def test_annotations_decide_nothing_but_their_text():
    assert code_of("def f(a: X) -> X:\n    return a\n", X=int) == code_of(
        "def f(a: X) -> X:\n    return a\n", X=float
    )


def test_a_name_defined_later_counts_once_it_is_there():
    text = "def f(x):\n    return later(x) if x else 0\n"
    assert code_of(text) != code_of(text + "def later(x):\n    return 1\n")


@pytest.mark.parametrize(("thing", "kind"), [
    (threading.Lock(), "lock"), (sys.__stdout__, "TextIOWrapper"),
    (iter([1]), "list_iterator"), (sys._getframe(), "frame"),
    ([threading.Lock()], "lock"), ({"a": [sys.__stdout__]}, "TextIOWrapper"),
])  # fmt: skip
def test_what_cannot_be_hashed_is_refused_by_name(thing, kind):
    with pytest.raises(
        UnkeyableError, match=f"`__main__:f` uses `THING`, a {kind}, which cannot be hashed"
    ) as caught:
        code_of("def f():\n    return THING\n", THING=thing)
    assert "pass it as an option" in caught.value.hint


def test_a_sentinel_counts_as_one():
    assert code_of("def f():\n    return THING\n", THING=object()) == code_of(
        "def f():\n    return THING\n", THING=object()
    )


def test_a_container_of_itself_is_refused():
    loop = []
    loop.append(loop)
    with pytest.raises(UnkeyableError, match="contains itself"):
        code_of("def f():\n    return LOOP\n", LOOP=loop)


def test_a_function_without_source_is_refused():
    scope = {"__name__": "__main__"}
    exec("def f():\n    return 1\n", scope)
    with pytest.raises(UnkeyableError, match="the source of `__main__:f` is not readable"):
        capture.function(scope["f"])
    with pytest.raises(UnkeyableError, match="neither a function nor a class"):
        capture.function(3)


def test_a_script_edited_while_it_runs_keeps_the_code_that_runs(tmp_path, monkeypatch):
    path = tmp_path / "script.py"
    old = "import lichen as li\nimport toy\n\n@li.step\ndef f(model: li.Model) -> li.Model:\n"
    old += "    return toy.a_model(1.0)\n"
    path.write_text(old)
    scope = {"__name__": "__main__"}
    exec(compile(old, str(path), "exec", dont_inherit=True), scope)
    before = scope["f"].own_code.digest
    path.write_text("import os\n\n\n" + old.replace("1.0", "2.0"))
    linecache.checkcache()
    assert scope["f"].own_code.digest == before


def test_a_file_that_no_longer_defines_the_function_is_refused(tmp_path):
    path = tmp_path / "script.py"
    path.write_text("def f():\n    return 2\n")
    scope = {"__name__": "__main__"}
    exec(compile("def f():\n    return 1\n", str(path), "exec", dont_inherit=True), scope)
    with pytest.raises(UnkeyableError, match="changed after it was read"):
        capture.function(scope["f"])


def test_a_function_held_from_before_a_reload_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = tmp_path / "reloaded.py"
    path.write_text("def g():\n    return 1\n")
    module = importlib.import_module("reloaded")
    scope = cell("def f():\n    return g()\n", g=module.g)
    before = capture.function(scope["f"]).digest
    path.write_text("def g():\n    return 2\n")
    importlib.reload(module)
    with pytest.raises(UnkeyableError, match="`g` is from before `reloaded` was reloaded"):
        capture.function(scope["f"])
    scope["g"] = module.g
    assert capture.function(scope["f"]).digest != before


def test_a_step_made_in_a_function_counts_what_it_captured(tmp_path):
    def made(k):
        @li.step
        def inner(model: li.Model) -> li.Model:
            return toy.a_model(k)

        return inner

    one, two = made(1.0), made(2.0)
    assert one.own_code.digest != two.own_code.digest == made(2.0).own_code.digest


def test_steps_of_lichen_that_a_cell_calls_count():
    text = "def f(data):\n    return li.load('digits')\n"
    found = capture.function(cell(text)["f"]).modules
    assert "lichen.steps.prepare.load" in found and "lichen.data.rows" in found
    assert "lichen.steps.pretrain.train" not in found
    by_stage = capture.function(cell("def f(data):\n    return stage.train(data)\n", stage=li.pretrain)["f"])
    assert "lichen.steps.pretrain.train" in by_stage.modules
    by_step = capture.function(cell("def f(data):\n    return train(data)\n", train=li.pretrain.train)["f"])
    assert "lichen.steps.pretrain.train" in by_step.modules
    from_import = capture.function(
        cell("def f(data):\n    from lichen import pretrain\n    return pretrain.train(data)\n")["f"]
    )
    assert "lichen.steps.pretrain.train" in from_import.modules


def test_a_net_of_a_notebook_counts(session):
    def key_of(width):
        scope = cell(f"@li.net\ndef tiny(*, in_shape, num_outputs):\n    return {width}\n")
        one = step.Step("toy:prune")
        model = li.Model.build(net="__main__:tiny", options={}, weights={})
        made = key.make(one.signature, None, {"model": model}, {"share": 0.5}, Session())
        assert own.NETS.pop("__main__:tiny") is scope["tiny"]
        return made.digest

    assert key_of(1) != key_of(2)
    assert key_of(1) == key_of(1)


def test_methods_of_other_objects_are_told_apart():
    text = "def f(x):\n    return METHOD(x)\n"
    methods = cell(
        "class A:\n    def __init__(self, k):\n        self.k = k\n"
        "    def m(self, x):\n        return self.k\n"
    )["A"]
    assert code_of(text, METHOD=methods(1).m) != code_of(text, METHOD=methods(2).m)
    assert code_of(text, METHOD=methods(1).m) == code_of(text, METHOD=methods(1).m)


def test_an_object_that_can_be_called_is_its_class_and_what_it_holds():
    from torch import nn

    def key(loss):
        return capture.function(loss).digest

    assert key(nn.CrossEntropyLoss()) == key(nn.CrossEntropyLoss())
    weights = torch.ones(3)
    others = [nn.CrossEntropyLoss(), nn.CrossEntropyLoss(label_smoothing=0.1), nn.NLLLoss(), Scaled(1.0),
              Scaled(2.0),
              nn.CrossEntropyLoss(weight=weights), nn.CrossEntropyLoss(weight=2 * weights)]  # fmt: skip
    assert len({key(loss) for loss in others}) == len(others)
    assert "torch" in capture.function(nn.CrossEntropyLoss()).packages
    with pytest.raises(UnkeyableError, match="option"):
        key(Silent())


class Scaled:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, outputs, targets):
        return self.factor * outputs.sum()


class Silent:
    """Holds what cannot be hashed."""

    def __init__(self):
        self.file = open(os.devnull)  # noqa: SIM115

    def __call__(self, outputs, targets):
        return outputs.sum()

    def __del__(self):
        self.file.close()


def test_the_reader_of_every_split_counts():
    """Rows that were added are read by a reader of their own, whatever reads the others."""
    splits = {
        "train": {"num_rows": 1, "digest": "a", "reader": {"name": "arrays", "options": {}}},
        "validation": {"num_rows": 1, "digest": "b"},
    }
    manifest = {"kind": "dataset", "reader": {"name": "folder", "options": {}}, "splits": splits}
    named = [f"lichen.data.readers.{name}" for name in ("folder", "arrays")]
    assert capture.behind(Dataset(manifest=manifest)) == named
