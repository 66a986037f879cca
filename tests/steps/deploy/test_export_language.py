"""test_export_language: a language model leaves as a graph that tells what it tells, or not at all."""

import pytest
from languages import drawn, texts

from lichen.core import session
from lichen.core.errors import GateError, UsageError
from lichen.core.session import Session
from lichen.core.step import by_address
from lichen.engine import gptfile

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


@pytest.mark.slow
def test_openvino_has_no_cache_and_tells_the_same(life):
    program, said = exported(life, format="openvino")
    assert program.format == "openvino" and "texts told alike" in said
    told = [value.generate("moss on", temperature=0, max_new_tokens=8) for value in (program, life[0])]
    assert told[0] == told[1]


def test_an_archive_of_torch_is_refused_by_name(life):
    with pytest.raises(UsageError, match="archives of torch.export"):
        exported(life, format="torch")


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
    from lichen.engine.teller import Teller

    real = Teller.__call__

    def forgetful(self, x_BT, cache=None, last=None):
        if cache is not None and cache.length:
            for held in cache.buffers.values():
                held[:, :, : cache.length] = 0.0
        return real(self, x_BT, cache, last)

    monkeypatch.setattr(Teller, "__call__", forgetful)
    with pytest.raises(GateError, match="texts go on otherwise"):
        exported(life)
