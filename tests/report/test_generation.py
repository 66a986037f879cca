"""The report of a generator shows what it made over time, its figures, and the judge's verdict."""

import re

import pytest

import lichen as li
from lichen.report import findings, generation, page

SMALL = {"epochs": 2, "generator_options": {"width": 4}, "discriminator_options": {"width": 4},
         "precision": "float32"}  # fmt: skip
FIGURE = {"value": 0.5, "low": 0.4, "high": 0.6, "level": 0.95}
PICTURE = "data:image/png;base64,AAAA"
FIDELITY = {
    "figures": {"fid": FIGURE, "coverage": FIGURE}, "agreement": FIGURE, "accuracy": 0.9, "copying": FIGURE,
    "copies": False, "judge": 64 * "a", "num_rows": 100, "times_noise": 12.0,
    "pictures": {"samples": PICTURE, "nearest": "javascript:alert(1)"},
}  # fmt: skip
DISTANCES = {"marginal_distance": FIGURE, "correlation_distance": FIGURE}
PAIR = {"label": "old", "made": {"age": 64.25, "town": "Ulm"}, "real": {"age": None, "town": "Ulm"}}
LIKENESS = {
    "figures": DISTANCES, "chance": DISTANCES, "columns": {"age": 0.31, "<b>": 0.2}, "metric": "accuracy",
    "from_real": 0.9, "from_made": 0.8, "lost": FIGURE, "copying": FIGURE, "copies": True, "num_rows": 100,
    "nearest": [PAIR],
}  # fmt: skip
WORTH = {
    "metric": "accuracy", "best": "real and synthetic", "rival": "real", "worth": -0.02, "low": -0.03,
    "high": -0.01, "verdict": "harms", "num_rows": 100, "num_seeds": 5, "num_synthetic": 50,
    "arms": [{"name": "real", "num_rows": 80, "epochs": 3, "value": 0.9},
             {"name": "real and synthetic", "num_rows": 130, "epochs": 3, "value": 0.88}],
}  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    with li.opened(tmp_path_factory.mktemp("store") / ".lichen") as session:
        data = li.load("digits", num_train=60)
        made = li.generate.gan(data, **SMALL).generator
        for name, study in (("fidelity", FIDELITY), ("likeness", LIKENESS), ("worth_of_synthetic", WORTH)):
            session.events.emit("study", study=name, digest=made.digest, found=study)
        yield findings.gather(made, session)


def test_sheets_over_time_stand_in_the_order_of_epochs(found):
    text = generation.generation(found)
    epochs = [float(part.partition("<")[0]) for part in text.split("<figcaption>epoch ")[1:]]
    assert epochs == sorted(epochs) and epochs[-1] == 2.0 and len(epochs) >= 4
    assert text.count('<img src="data:image/png;base64,') == len(epochs) + 1


def test_figures_and_the_verdict_are_told_and_nothing_but_pictures_is_a_source(found):
    text = generation.generation(found)
    assert "0.5000" in text and "no sign of copied train rows" in text and "are not used" in text
    assert "javascript" not in text and "there is no picture" in text


def test_made_rows_of_a_table_stand_beside_their_nearest_and_names_are_escaped(found):
    text = generation.generation(found)
    assert "Train rows are copied." in text and "marginal distance" in text
    line = text[text.index(">age<") :].partition("</tr>")[0]
    assert re.findall(r">([^<>]+)</td", line) == ["age", "0.3100", "64.25", "–"]
    assert "&lt;b&gt;" in text


def test_the_page_has_it_and_that_of_a_life_without_a_generator_has_not(found, tmp_path):
    assert '<section id="generation">' in page.html(found)
    assert "generator&#x27;s loss" in page.html(found)
    with li.opened(tmp_path / ".lichen") as session:
        model = li.pretrain.train(li.load("digits", num_train=60), net="mlp", epochs=1)
        assert not generation.generation(findings.gather(model, session))
