"""beside: differences on the same rows, to the first; what is not to be compared is refused by name."""

import json

import languages
import numpy as np
import pytest

import lichen as li
from lichen.core import session
from lichen.core.errors import UsageError
from lichen.core.scoring import Judge
from lichen.data import arrays, chat
from lichen.engine.scores import intervals
from lichen.report import beside, findings, page, questions


@pytest.fixture(scope="module")
def life(tmp_path_factory):
    with session.opened(tmp_path_factory.mktemp("store") / ".lichen") as opened:
        data = li.load("digits", num_train=300)
        options = {"net": "mlp", "net_options": {"width": 16}, "optimizer": "adam", "precision": "float32"}
        models = [li.pretrain.train(data, epochs=epochs, **options) for epochs in (4, 1, 2)]
        yield opened, data, models


def outcomes(model, data):
    return li.evaluate(model, data).answers()["outcome"].numpy().astype(np.float64)


def test_differences_are_paired_row_by_row_and_steps_that_all_share_are_not_counted(life):
    _, data, models = life
    found = li.studies.beside(*models)
    assert [point.value for point in found.points] == [li.evaluate(model, data).value for model in models]
    for point, model in zip(found.points[1:], models[1:], strict=True):
        gain_N = outcomes(model, data) - outcomes(models[0], data)
        assert point.gain == pytest.approx(gain_N.mean(), abs=1e-12)
        assert (point.gain_low, point.gain_high) == pytest.approx(intervals.paired(gain_N))
        assert point.seconds == model.made.call.seconds
        assert point.verdict == ("worse" if point.gain_high < 0 else "no measurable difference")
    assert [point.words for point in found.points] == [f"pretrain.train epochs={n}" for n in (4, 1, 2)]
    assert (found.points[0].gain, found.points[0].gain_low, found.points[0].verdict) == (0.0, 0.0, "")
    lines = str(found).splitlines()
    assert len(lines) == 5 and "accuracy on" in lines[-1]


def test_a_better_one_is_called_better_and_the_same_value_differs_in_nothing(life):
    _, _, models = life
    turned = li.studies.beside(models[1], models[0])
    straight = li.studies.beside(models[0], models[1])
    assert turned.points[1].gain == -straight.points[1].gain > 0
    assert turned.points[1].verdict == "better" and straight.points[1].verdict == "worse"
    twice = li.studies.beside(models[0], models[0])
    assert twice.points[1].gain_low == twice.points[1].gain_high == 0.0


def test_what_is_of_another_task_or_of_no_record_is_named(life):
    _, data, models = life
    with pytest.raises(UsageError, match="no Model or Program that recorded steps made"):
        li.studies.beside(models[0], data)
    other = models[0].with_weights(models[0].weights(), assets=dict(models[0].assets))
    with pytest.raises(UsageError, match="no Model or Program that recorded steps made"):
        li.studies.beside(models[0], other)
    ordered = li.pretrain.train(data, net="mlp", task="ordinal_regression", epochs=1, precision="float32")
    rows = data.rows("train")
    halves = arrays.arrays(rows.images, rows.targets % 2, labels=["even", "odd"])
    few = li.pretrain.train(halves, net="mlp", epochs=1, precision="float32")
    with pytest.raises(UsageError, match="must have the same labels.*even"):
        li.studies.beside(models[0], few)
    with pytest.raises(UsageError, match="must have the same task.*ordinal_regression"):
        li.studies.beside(models[0], ordered)


def test_the_report_of_each_shows_the_table(life):
    opened, _, models = life
    found = li.studies.beside(*models)
    assert not beside.beside(findings.gather(models[1], opened))
    assert f"lichen beside {models[1].id}" in questions.questions(findings.gather(models[1], opened))
    opened.events.emit("study", study="beside", digest=models[0].digest, found=found.as_json())
    for model in models:
        gathered = findings.gather(model, opened)
        text = str(beside.beside(gathered))
        assert all(point.words in text for point in found.points) and "paired row by row" in text
        assert 'id="beside"' in page.html(gathered)
        assert "lichen beside" not in questions.questions(gathered)


def test_models_that_read_unequally_much_of_a_text_are_not_compared(tmp_path):
    """Answers are cut where a model's tokens end; their bits are then of other words."""
    with li.opened(tmp_path / ".lichen"):
        words = " ".join(languages.WORDS)
        (tmp_path / "chats").mkdir()
        rows = [json.dumps({"prompt": f"say {row}", "answer": f"{words} {row}"}) for row in range(20)]
        (tmp_path / "chats" / "train.jsonl").write_text("\n".join(rows))
        data = li.load(str(tmp_path / "chats"), prompt="prompt", answer="answer", validation=0.5, test=0.0)
        judge = Judge(session.current(), data)
        for max_tokens in (60, 60, 40):
            model = languages.drawn(max_tokens=max_tokens)
            template = chat.plain(model.assets["tokenizer"])
            told = model.with_weights(model.weights(), assets={**model.assets, "template": template})
            if max_tokens == 60:
                judge.score(told)
            else:
                with pytest.raises(UsageError, match="other parts of the texts"):
                    judge.score(told)
