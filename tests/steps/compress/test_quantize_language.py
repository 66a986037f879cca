"""test_quantize_language: few bits are smaller, tell nearly as well, and are refused where they do not."""

import pytest
from languages import texts

from lichen.core import session
from lichen.core.errors import GateError, OptionError
from lichen.core.session import Session
from lichen.core.step import by_address
from lichen.engine.compression import fewbits

quantize = by_address("compress.quantize")


@pytest.fixture(scope="module")
def life():
    data = texts(
        1000
    )  # so many that it learns the language, not these; then logits are no larger than needed
    with session.using(Session()):
        teller = by_address("prepare.bpe")(data, size=300)
        model = by_address("pretrain.language")(
            data, teller, steps=120, max_tokens=32, batch_size=32, precision="float32",
            net_options={"depth": 2, "width": 64, "num_heads": 2},
        )  # fmt: skip
        return model, data


def scored(value, data):
    with session.using(Session()):
        return by_address("assess.evaluate")(value, data)


@pytest.mark.parametrize(("precision", "share", "worse"), [("int8", 0.4, 0.005), ("int4", 0.3, 0.02)])
def test_few_bits_are_smaller_and_tell_nearly_as_well(life, precision, share, worse):
    model, data = life
    notes = []
    with session.using(Session()) as here:
        here.events.sinks.append(notes.append)
        program = quantize(model, data, precision=precision, group=32, max_drop=0.05)
    assert program.precision == precision
    assert program.size_bytes < share * model.size_bytes
    before, after = (scored(value, data)["perplexity"] for value in (model, program))
    assert after < (1 + worse) * before and after != before
    said = " ".join(event.get("text", "") for event in notes)
    assert f"perplexity {before:.2f} -> {after:.2f}" in said and "one token" in said


def test_float32_is_the_neutral_option_and_tells_the_same(life):
    model, data = life
    with session.using(Session()):
        plain = quantize(model, data, precision="float32")
    assert plain.generate("moss on", temperature=0) == model.generate("moss on", temperature=0)


def test_ruined_scales_are_refused_with_everything_that_was_tried(life, monkeypatch):
    """A planted defect: every scale is a half too large."""
    real = fewbits.rounding.against

    def broken(*given):
        found = real(*given)
        return type(found)(found.numbers_NK, 1.5 * found.scales_NJ, found.zeros_NJ, found.bits, found.group)

    monkeypatch.setattr(fewbits.rounding, "against", broken)
    with session.using(Session()), pytest.raises(GateError, match="int4 cannot") as caught:
        quantize(life[0], life[1], precision="int4", group=32)
    for words in ("groups of 32", "groups of 16", "all but the head", "what blocks add", "perplexity"):
        assert words in caught.value.message


def test_a_head_that_four_bits_ruin_keeps_eight(life, monkeypatch):
    """A planted defect: the head in four bits is nothing; the plan that leaves it out passes."""
    monkeypatch.setattr(fewbits, "rounded", lambda module, squares, plan, real=fewbits.rounded: _maimed(
        real(module, squares, plan)))  # fmt: skip
    notes = []
    with session.using(Session()) as here:
        here.events.sinks.append(notes.append)
        quantize(life[0], life[1], precision="int4", group=32, max_drop=0.05)
    assert any(event.get("text", "").startswith("all but the head in int4") for event in notes)


def _maimed(found):
    head = found["head"]
    if head.bits == 4:
        found["head"] = type(head)(head.numbers_NK, 0 * head.scales_NJ, head.zeros_NJ, 4, head.group)
    return found


@pytest.mark.parametrize("group", [8, 48])
def test_groups_that_the_runtime_does_not_take_are_refused(life, group):
    with session.using(Session()), pytest.raises(OptionError, match="power of two"):
        quantize(life[0], life[1], precision="int4", group=group)
