"""test_ladder: which steps a study can climb, and what lies between two rungs."""

import pytest

from lichen.core import find, ladder
from lichen.core.errors import OptionError


def test_steps_are_found_by_what_they_give():
    models = {one.step: one for one in ladder.of_stage("compress", "Model")}
    programs = {one.step: one for one in ladder.of_stage("compress", "Program")}
    assert "compress.prune" in models and "compress.quantize" in programs
    assert not {*models} & {*programs}


def test_every_rung_of_every_ladder_is_one_that_its_step_takes():
    for address, path in find.shelf("steps").items():
        if told := find.literal(path, "LADDER"):
            one = ladder.Ladder(step=address, rungs=ladder.rungs_of(told))
            for rung in one.rungs:
                one.signature.check(rung)
    with pytest.raises(OptionError):
        one.signature.check({"nothing": 1})


def test_the_neutral_rungs_are_those_that_ablate_would_take():
    quantize = next(one for one in ladder.of_stage("compress", "Program") if one.step == "compress.quantize")
    assert {rung["precision"] for rung in quantize.neutral()} == {"float32"}
    assert {rung["precision"] for rung in quantize.rungs} == {"float32", "int8"}


def test_between_two_rungs_is_their_geometric_mean_until_they_are_near():
    prune = ladder.Ladder(step="compress.prune", rungs=({"speedup": 2.0}, {"speedup": 4.0}))
    assert prune.between({"speedup": 2.0}, {"speedup": 4.0}) == {"speedup": 2.83}
    assert prune.between(None, {"speedup": 4.0}) == {"speedup": 2.0}, "one is no pruning"
    assert prune.between({"speedup": 2.0}, {"speedup": 2.1}) is None
    quantize = ladder.Ladder(step="compress.quantize", rungs=())
    assert quantize.between({"precision": "float32"}, {"precision": "int8"}) is None
