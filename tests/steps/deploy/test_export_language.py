"""test_export_language: a language model leaves as a graph that tells what it tells, or not at all."""

import pytest
from languages import drawn, texts

from lichen.core import session
from lichen.core.errors import GateError
from lichen.core.session import Session
from lichen.core.step import by_address
from lichen.engine.programs import gptfile, graph

export = by_address("deploy.export")


@pytest.fixture(scope="module")
def life():
    return drawn(), texts(160)


def exported(life, **options):
    with session.using(Session()) as here:
        notes = []
        here.events.sinks.append(notes.append)
        return export(*life, **options), " ".join(event.get("text", "") for event in notes)


def test_a_gpt_leaves_with_a_cache_and_tells_the_same(life):
    program, said = exported(life)
    assert (program.format, program.runtime) == ("onnx", "onnxruntime")
    assert "8 of 8 texts told alike" in said, said
    prompts = ["moss on", "the old stone", ""]
    told = [value.generate(prompts, temperature=0, max_new_tokens=30) for value in (program, life[0])]
    assert told[0] == told[1]
    assert program.predict("moss on the stone")[0]["loss"] == pytest.approx(
        life[0].predict("moss on the stone")[0]["loss"], rel=1e-4
    )


def test_only_rows_of_a_graph_for_whole_texts_are_of_any_length(life):
    """A row that is told from loses its last token; a size less one is nothing that an archive may say."""
    whole = life[0].with_weights(life[0].weights(), assets={**life[0].assets, "is_packed": False})
    assert graph._longest(life[0]) is None and graph._longest(whole) == life[0].assets["max_tokens"]


@pytest.mark.slow
@pytest.mark.parametrize("format", ["torch", "openvino"])
def test_other_formats_have_no_cache_and_tell_the_same(life, format):
    program, said = exported(life, format=format)
    assert program.format == format and "texts told alike" in said
    told = [value.generate("moss on", temperature=0, max_new_tokens=8) for value in (program, life[0])]
    assert told[0] == told[1]


@pytest.mark.parametrize("defect", ["turns", "order"])
def test_a_graph_that_tells_otherwise_is_refused(life, monkeypatch, defect):
    """Planted defects: angles of another base; layers in another order."""
    real = gptfile.written

    def broken(net, *given):
        if defect == "turns":
            net.base = 500.0
        else:
            net.blocks = type(net.blocks)(reversed(net.blocks))
        return real(net, *given)

    monkeypatch.setattr(gptfile, "written", broken)
    with pytest.raises(GateError, match="must answer as the model"):
        exported(life)


def test_a_cache_that_forgets_is_refused_though_whole_rows_are_right(life, monkeypatch):
    """A planted defect that only generation shows: what was read before is lost."""
    from lichen.engine.programs.teller import Teller

    real = Teller.__call__

    def forgetful(self, x_BT, cache=None, last=None):
        if cache is not None and cache.length:
            for held in cache.buffers.values():
                held[:, :, : cache.length] = 0.0
        return real(self, x_BT, cache, last)

    monkeypatch.setattr(Teller, "__call__", forgetful)
    with pytest.raises(GateError, match="texts go on otherwise"):
        exported(life)
