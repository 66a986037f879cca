"""Of every kind of miss, `why` names the one thing that caused it."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from garden import BASE, Bench, a_dataset, a_model, rendered, with_options

from lichen.core import calling, key, step, why
from lichen.core.lineage import Call
from lichen.core.session import current


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    one = Bench(tmp_path, "module")
    one.call()
    yield one
    one.close()


def reasons(bench, call) -> list[str]:
    grow = bench.garden.grow("module")
    values = calling.bind(grow.signature, (call.data, call.model, call.teacher), {})
    options = grow.signature.check(call.options)
    made = key.make(grow.signature, grow.own_code, values, options, current())
    return why.reasons(made, options, current().store)


@pytest.mark.parametrize(("place", "said"), [
    ("third_helper_body", "code `plot.deep.farther`: changed"),
    ("helper_of_net", "code `plot.layers`: changed"),
    ("helper_of_function_option", "code `plot.scales`: changed"),
    ("package_version", "package `fakepack`: 1.0 -> 1.0.1"),
    ("body_constant_of_step", "code `plot.steps`: changed"),
])  # fmt: skip
def test_a_changed_file_or_package_is_named(bench, place, said):
    bench.garden.write(rendered(place))
    assert said in reasons(bench, BASE)
    assert not any(
        line.startswith(("option", "input")) for line in reasons(bench, BASE) if "reward" not in line
    )


@pytest.mark.parametrize(("call", "said"), [
    (with_options(epochs=2), "option `epochs`: 1 -> 2"),
    (with_options(seed=7), "option `seed`: 0 -> 7"),
    (with_options(names=["a"]), "option `names`: [] -> ['a']"),
    (with_options(mode="b"), "option `mode`: 'a' -> 'b'"),
])  # fmt: skip
def test_a_changed_option_is_named_alone(bench, call, said):
    assert reasons(bench, call) == [said]


@pytest.mark.parametrize(("call", "name"), [
    (replace(BASE, model=a_model(2.0)), "model"),
    (replace(BASE, data=a_dataset(train=b"x")), "data"),
    (replace(BASE, teacher=a_model()), "teacher"),
])  # fmt: skip
def test_a_changed_input_is_named_alone(bench, call, name):
    (said,) = reasons(bench, call)
    assert said.startswith(f"input `{name}` is another value")


def test_an_input_that_is_no_longer_given_is_named(bench):
    bench.call(replace(BASE, teacher=a_model(), model=a_model(5.0)))
    (said,) = reasons(bench, replace(BASE, model=a_model(5.0)))
    assert said.startswith("input `teacher` is no longer given")


def test_a_hit_has_no_reasons_and_a_new_step_says_so(bench, tmp_path):
    assert reasons(bench, BASE) == []
    assert why.reasons(
        key.Key(step="toy:never", code=key.code.Code({}, {}), options={}, inputs={}), {}, current().store
    ) == ["`toy:never` was never run in this store"]


def test_the_content_of_a_data_source_is_named(session):
    folder = session.store.folder.parent / "rows"
    folder.mkdir()
    path = folder / "table.csv"
    path.write_text("a,label\n1,x\n2,y\n3,x\n4,y\n5,x\n6,y\n")
    read = step.by_address("prepare.load")
    content = {"source": "1" * 64}
    made = key.Key(step="prepare.load", code=key.code.Code({}, {}), options={}, inputs={}, sources=content)
    call = Call(
        step="prepare.load",
        key="k",
        code="c",
        options={"source": str(path)},
        inputs={},
        outputs={},
        kinds={},
        sources={"source": "2" * 64},
    )
    said = why.differences(made, {"source": str(path)}, call, session.store)
    assert said == [f"data source `{path}` (option `source`): its content changed"]
    assert read.address == "prepare.load"
