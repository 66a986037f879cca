"""test_export: what is shipped answers as what was trained, whatever runs it."""

from dataclasses import replace

import numpy as np
import pytest

import lichen as li
from lichen.core import session
from lichen.core.calling import execute
from lichen.core.errors import GateError, UsageError
from lichen.core.session import Session
from lichen.core.step import by_address
from lichen.data import arrays
from lichen.engine import answer, evaluate
from lichen.engine.programs import executables, gate, graph
from lichen.engine.programs.parity import Reference

export = by_address("deploy.export")


def pictures():
    draws = np.random.Generator(np.random.Philox(1))
    targets = np.arange(200) % 3
    images = draws.integers(0, 90, (200, 1, 8, 8)) + 75 * targets[:, None, None, None]
    return arrays.arrays(images.astype("uint8"), targets, labels=["a", "b", "c"])


@pytest.fixture(scope="module")
def life():
    data = pictures()
    with session.using(Session()):
        return by_address("pretrain.train")(data, net="cnn", epochs=2), data


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("format", ["auto", "onnx", "openvino"])
def test_every_format_and_runtime_answers_as_the_model(life, runtime, format):
    model, data = life
    if (runtime, format) == ("onnxruntime", "openvino"):
        with (
            pytest.raises(UsageError, match="as openvino in float32 for onnxruntime"),
            session.using(Session()),
        ):
            export(model, data, runtime=runtime, format=format)
        return
    with session.using(Session()):
        program = export(model, data, runtime=runtime, format=format)
    native = "onnx" if runtime == "onnxruntime" else "openvino"
    assert (program.runtime, program.format) == (runtime, native if format == "auto" else format)
    images = data.rows("test").images
    expected = answer.logits(model, images)
    np.testing.assert_allclose(
        answer.logits(program, images), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max()
    )
    before, after = (evaluate.score(value, data, "test") for value in (model, program))
    assert (
        before.value == after.value
        and program.predict(images[:3])[0]["label"] == model.predict(images[:3])[0]["label"]
    )


@pytest.mark.parametrize("runtime", ["torch", pytest.param("executorch", marks=pytest.mark.slow)])
def test_a_program_that_is_asked_for_by_name_serves_alone_any_number_of_rows(life, runtime, tmp_path, capfd):
    model, data = life
    with session.using(Session()):
        program = export(model, data, format=runtime)
        with pytest.raises(UsageError, match=f"nothing writes a Model as onnx in float32 for {runtime}"):
            export(model, data, format="onnx", runtime=runtime)
    opened = li.open(program.save(tmp_path / "program.lichen"))
    assert (opened.format, opened.runtime, opened.digest) == (runtime, runtime, program.digest)
    images = data.rows("train").images
    for rows in (1, 2, 7, 32, 50):
        expected = answer.logits(model, images[:rows])
        np.testing.assert_allclose(
            answer.logits(opened, images[:rows]), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max()
        )
    assert opened.predict(images[:3]) and capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("net", ["encoder", "bag"])
def test_nets_of_texts_serve_on_phones_any_number_of_rows(net):
    """A split of fewer rows than memory is planned for fails in the runtime; an encoder splits its heads."""
    pytest.importorskip("executorch")
    read = li.texts([f"{word} lichen {row}" for row in range(30) for word in ("old", "wet")], ["a", "b"] * 30)
    with session.using(Session()):
        model = li.pretrain.train(read, li.prepare.bpe(read, size=270), net=net, task="text_classification",
                                  epochs=1, optimizer="adamw", precision="float32")  # fmt: skip
        program = export(model, read, format="executorch")
    said = ["old lichen", "wet", "wet lichen 3"] * 13
    for rows in (1, 7, 39):
        asked = zip(program.predict(said[:rows]), model.predict(said[:rows]), strict=True)
        assert all(one["label"] == other["label"] for one, other in asked)


def test_equal_models_make_equal_archives_without_places(life):
    model, _ = life
    made = graph.torch_of(model)
    assert made == graph.torch_of(model)
    assert b"lichen" not in made and b"site-packages" not in made


@pytest.mark.slow
def test_equal_models_make_equal_programs_for_phones(life):
    model, _ = life
    assert graph.executorch_of(model) == graph.executorch_of(model)


@pytest.mark.slow
def test_the_number_of_threads_of_a_phone_may_change_between_calls(life):
    pytest.importorskip("executorch")
    model, data = life
    (program,) = executables.candidates(model, format="executorch").values()
    images = data.rows("train").images[:3]
    one, two = (answer.runner(program, threads=threads) for threads in (1, 2))
    for run in (one, two, one, two):
        np.testing.assert_allclose(run(images), answer.logits(model, images), rtol=1e-4, atol=1e-4)


def test_the_runtime_is_a_recorded_decision_and_is_replayed(life):
    model, data = life
    with session.using(Session()) as here:
        program = export(model, data)
        choice = program.made.call.decisions["runtime"]
        assert choice["winner"] == f"{program.runtime}/{program.precision}"
        assert set(choice["latency_ms"]) == {"onnxruntime/float32", "openvino/float32"}
        other = next(name for name in choice["latency_ms"] if name != choice["winner"])
        replayed = execute(export, {"model": model, "data": data}, {}, here,
                           decisions={"runtime": {**choice, "winner": other}})  # fmt: skip
    assert f"{replayed.runtime}/{replayed.precision}" == other


@pytest.mark.slow
def test_bfloat16_is_used_only_where_it_is_asked_for(life):
    model, data = life
    with session.using(Session()):
        assert export(model, data).precision == "float32"
        narrow = export(model, data, precision="bfloat16", max_drop=1.0)
        with pytest.raises(UsageError):
            export(model, data, precision="bfloat16", runtime="onnxruntime")
    assert (narrow.runtime, narrow.precision) == ("openvino", "bfloat16")


def test_a_program_is_exported_again_in_another_format(life):
    model, data = life
    with session.using(Session()):
        first = export(model, data, format="onnx", runtime="onnxruntime")
        second = export(first, data, format="openvino")
        with pytest.raises(UsageError, match="as onnx"):
            export(second, data, format="onnx")
    assert (
        second.source == first.digest
        if hasattr(second, "source")
        else second.manifest["source"] == first.digest
    )
    images = data.rows("test").images
    np.testing.assert_allclose(
        answer.logits(second, images), answer.logits(first, images), rtol=1e-4, atol=1e-4
    )


def test_a_graph_that_is_not_the_model_never_leaves(life, monkeypatch):
    model, data = life
    whole = graph.onnx_of

    def without_normalisation(of):
        bare = {**of.manifest, "assets": {**of.assets, "mean": [0.0], "std": [1.0]}}
        return whole(type(of)(manifest=bare, blobs=of.blobs))

    monkeypatch.setattr(graph, "onnx_of", without_normalisation)
    with session.using(Session()), pytest.raises(GateError, match="the export must answer as the model"):
        export(model, data)


def reviews():
    draws = np.random.default_rng(0)
    words, labels = {0: ["dull", "flat", "cold"], 1: ["warm", "deft", "bright"]}, draws.integers(0, 2, 150)
    rows = [" ".join([*draws.choice(words[label], draws.integers(1, 9)), f"{row}"])
            for row, label in enumerate(labels)]  # fmt: skip
    return arrays.texts(rows, labels, labels=["unkind", "kind"])


@pytest.mark.slow
@pytest.mark.parametrize("net", ["bag", "gru", "encoder"])
def test_a_model_of_texts_answers_as_it_does_whatever_the_longest_text(net):
    data = reviews()
    small = {"bag": {"width": 8, "num_pairs": 32}, "gru": {"width": 8, "embedded": 8},
             "encoder": {"width": 16, "num_heads": 2, "depth": 1}}  # fmt: skip
    with session.using(Session()):
        teller = by_address("prepare.bpe")(data, size=280)
        model = by_address("pretrain.train")(
            data, teller, net=net, net_options=small[net], epochs=2, task="text_classification",
            optimizer="adamw", precision="float32",
        )  # fmt: skip
        for runtime in ("onnxruntime", "openvino"):
            program = export(model, data, runtime=runtime)
            texts = ["warm", "", "cold " * 40, "a deft film, 4 stars"]
            for text in texts:
                (wanted,), (found,) = model.predict(text), answer.predict(program, text)
                assert found["label"] == wanted["label"]
                assert found["confidence"] == pytest.approx(wanted["confidence"], abs=1e-4)


@pytest.mark.slow
def test_an_export_with_another_tokenizer_does_not_leave():
    """Planted: the graph is sound, but texts become other numbers on the path that serves."""
    data = reviews()
    with session.using(Session()):
        teller = by_address("prepare.bpe")(data, size=290)
        model = by_address("pretrain.train")(
            data, teller, net="bag", net_options={"width": 8, "num_pairs": 32}, epochs=8, rate=0.03,
            task="text_classification", optimizer="adamw", precision="float32",
        )  # fmt: skip
        files = executables.files_of(model)["onnx"]
        program = executables.build(model, files, runtime="onnxruntime", precision="float32")
        terms = gate.Terms(tolerance=1e-4, max_drop=0.0, max_flips=0.0)
        assert gate.require_answers(Reference(model, data), program, terms)
        bytes_alone = {**teller.assets["tokenizer"], "merges": []}
        other = {**program.manifest, "assets": {**program.assets, "tokenizer": bytes_alone}}
        with pytest.raises(GateError, match="answered otherwise"):
            gate.require_answers(Reference(model, data), replace(program, manifest=other), terms)
