import importlib
import linecache
import os
import sys

import numpy as np
import pytest

import lichen as li
from lichen.core import own, present
from lichen.core.model import Model
from lichen.engine import answer

NET = """
import torch
from torch import nn
from {package} import helper
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Linear(4, 2)
    def forward(self, x):
        return helper.turned({sign} * self.f(x.flatten(1)))
"""
HELPER = """
def turned(x):
    return {sign} * x
"""
ASSETS = {"labels": ["a", "b"], "mean": [0.5], "std": [0.5], "image_shape": [1, 2, 2]}
ROW = [[[[250, 0], [0, 90]]]]


def written(path, text):
    path.write_text(text)
    written.age -= 100  # every edit has a time of its own
    os.utime(path, (written.age, written.age))


written.age = 1_600_000_000


@pytest.fixture
def package(tmp_path, monkeypatch):
    name = f"turning_{tmp_path.name}".replace("-", "_")
    folder = tmp_path / name
    folder.mkdir()
    written(folder / "__init__.py", "")
    written(folder / "helper.py", HELPER.format(sign="+1"))
    written(folder / "net.py", NET.format(package=name, sign="+1"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return folder


def logit(model):
    return float(answer.logits(model, np.array(ROW, np.uint8))[0, 0])


def a_model(package):
    net = importlib.import_module(f"{package.name}.net")
    return li.wrap(net.Net(), task="image_classification", assets=ASSETS)


def test_a_model_answers_by_the_net_that_was_reloaded(package):
    model = a_model(package)
    before = logit(model)
    written(package / "net.py", NET.format(package=package.name, sign="-1"))
    importlib.reload(sys.modules[f"{package.name}.net"])
    assert before != 0.0 and logit(model) == -before


def test_a_model_is_built_anew_after_a_reload_of_what_its_net_uses(package):
    model = a_model(package)
    runner = answer.runner(model)
    assert answer.runner(model) is runner
    importlib.reload(sys.modules[f"{package.name}.helper"])
    assert answer.runner(model) is not runner


def test_a_cell_run_again_is_what_answers(monkeypatch):
    scope = vars(sys.modules["__main__"])
    source = NET.replace("from {package} import helper", "def turned(x): return x").replace("helper.", "")
    for name in ("Net", "turned", "nn", "torch"):
        monkeypatch.setitem(scope, name, None)
    exec(source.format(sign="+1"), scope)
    model = li.wrap(scope["Net"](), task="image_classification", assets=ASSETS, net="__main__:Net")
    before = logit(model)
    exec(source.format(sign="-1"), scope)
    assert before != 0.0 and logit(model) == -before


def cell(scope, number, text):
    file = f"<cell {number} of {__name__}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, "exec", dont_inherit=True), scope)


def test_what_a_cell_uses_counts_as_well(monkeypatch):
    scope = vars(sys.modules["__main__"])
    for name in ("helping", "building", "SCALE"):
        monkeypatch.setitem(scope, name, 1.5)
    cell(scope, 1, "def helping():\n    return SCALE\n")
    cell(scope, 2, "def building():\n    return helping()\n")
    monkeypatch.setitem(own.NETS, "__main__:building", scope["building"])
    value = Model.build(net="__main__:building", options={}, weights={})
    seen = present.behind(value)
    assert seen.still_holds()
    scope["SCALE"] = 2.5
    assert not seen.still_holds()
    seen = present.behind(value)
    cell(scope, 3, "def helping():\n    return -SCALE\n")
    assert not seen.still_holds()


def test_lichens_own_nets_and_tasks_cost_no_look():
    value = Model.build(net="cnn", options={}, weights={}, task="image_classification")
    assert present.behind(value).seen == ()
