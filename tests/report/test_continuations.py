"""The report shows what a language model tells beside what documents say, the worst and the best."""

import math

import numpy as np
import pytest
from languages import drawn, texts

import lichen as li
from lichen.data import chat
from lichen.report import continuations, findings, page
from lichen.report.markup import text as escaped


@pytest.fixture(scope="module")
def told():
    model, data = drawn(max_tokens=64), texts(60)
    return model, data, li.evaluate(model, data)


def test_beginnings_are_gone_on_with_beside_the_rest_of_the_document(told):
    model, data, scores = told
    first = str(continuations.shown(model, data, scores)[0])
    shown = [text for text in data.rows("validation").texts if f">{text[: len(text) // 2 - 8]}" in first]
    assert len(shown) >= min(continuations.NUM_BEGUN, data.num_rows("validation"))
    begun, rest = continuations.begun_of(shown[0])
    (said,) = model.generate(begun, temperature=0, max_new_tokens=continuations.TOLD)
    assert begun + rest == shown[0] and not begun.endswith(" ") and rest.startswith(" ")
    assert f"<td>{begun}</td>" in first and f"<td>{rest}</td>" in first
    assert escaped(said) in first


def test_bits_per_byte_are_those_of_each_document_alone(told):
    """By another way: each document asked about by itself, on the path that serves."""
    model, data, scores = told
    answers = {name: array.numpy() for name, array in scores.answers().items()}
    bits_N, documents = continuations.bits_per_byte(answers), data.rows("validation").texts
    for text, bits in zip(documents, bits_N.tolist(), strict=True):
        (reply,) = model.predict(text)
        assert bits == pytest.approx(
            reply["loss"] * reply["num_tokens"] / math.log(2) / len(text.encode()), rel=1e-4
        )
    _, worst, best = map(str, continuations.shown(model, data, scores))
    order = np.argsort(bits_N)
    assert f"{bits_N[order[-1]]:.4f}" in worst and f">{documents[order[-1]]}<" in worst
    assert f"{bits_N[order[0]]:.4f}" in best and f">{documents[order[0]]}<" in best
    assert bits_N[order[0]] < scores.value < bits_N[order[-1]]


def test_of_a_conversation_the_last_answer_is_what_is_told():
    talk = [{"role": role, "content": said} for role, said in
            (("user", "one"), ("assistant", "two"), ("user", "three"), ("assistant", "four"))]  # fmt: skip
    assert continuations.begun_of(talk) == (talk[:3], "four")
    model = drawn(max_tokens=64)
    spoken = model.with_weights(
        model.weights(), assets={**model.assets, "template": chat.plain(model.assets["tokenizer"])}
    )
    data = li.conversations([{"prompt": f"say {row}", "answer": f"moss {row}"} for row in range(30)])
    first, worst, _ = map(str, continuations.shown(spoken, data, li.evaluate(spoken, data)))
    assert "user: say" in first and ">moss " in first and "assistant: moss" in worst


def test_a_page_about_a_language_model_has_samples(tmp_path):
    given = texts(60)
    lines = [line for split in ("train", "validation") for line in given.rows(split).texts]
    (tmp_path / "moss.txt").write_text("\n".join(lines))
    with li.opened(tmp_path / ".lichen") as session:
        data = li.load(str(tmp_path / "moss.txt"), unit="line")
        model = li.pretrain.language(
            data, li.prepare.bpe(data, size=280), steps=2, max_tokens=32, batch_size=4, precision="float32",
            net_options={"depth": 1, "width": 16, "num_heads": 1},
        )  # fmt: skip
        li.evaluate(model, data)
        text = page.html(findings.gather(model, session))
        assert text == page.html(findings.gather(model, session))
    part = text[text.index('<section id="samples">') :].partition("</section>")[0]
    assert "Gone on with" in part and part.count("<tr>") > 10 and "There are no answers" not in part
