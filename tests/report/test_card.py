"""test_card: the model card holds the figures, and its front matter is what the hub reads."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import lives

from lichen.core import recipefile
from lichen.core.session import Session
from lichen.core.store import Store
from lichen.report import card, findings

HEADS = ("What it is", "How it was made", "Data", "Quality", "Cost", "Limits", "Make it again")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits") / ".lichen"
    digest = lives.live(lives.DIGITS.replace("  - deploy.export: {}\n", ""), folder).digest
    store = Store(folder)
    yield findings.gather(store.value(digest, store.origin(digest)), Session(store=store))
    store.close()


def front(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_front_matter_names_data_metrics_and_licence(found):
    facts = front(card.markdown(found))
    assert (
        facts["library_name"] == "lichen"
        and facts["license"] == "unknown"
        and facts["datasets"] == ["digits"]
    )
    assert (
        "accuracy" in facts["metrics"]
        and "lichen" in facts["tags"]
        and facts["pipeline_tag"] == "image-classification"
    )
    splits = {
        result["dataset"]["split"]: result["metrics"][0]["value"]
        for result in facts["model-index"][0]["results"]
    }
    assert splits == pytest.approx(
        {"test": found.test.value, "validation": found.last.scores.value}, abs=1e-6
    )
    assert front(card.markdown(found, "apache-2.0"))["license"] == "apache-2.0"


def test_sections_and_figures_are_there(found):
    text = card.markdown(found)
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == list(HEADS)
    for scores in (found.test, found.last.scores):
        low, high = scores.interval
        assert (
            f"{scores.split} | {scores.num_rows} | {scores.value:.4f} | \\[{low:.4f}, {high:.4f}\\]" in text
        )


def test_its_recipe_can_be_read_back(found):
    block = card.markdown(found).split("```yaml\n")[1].split("```")[0]
    assert [line.step for line in recipefile.parse(block).lines] == [call.step for call in found.calls]


def test_limits_say_what_was_not_measured(found):
    assert any("not studied" in one for one in card.limits(found))


def test_markup_stays_text():
    assert card.plain("<b>*x*</b>\n# y | z") == r"&lt;b&gt;\*x\*&lt;/b&gt; \# y \| z"


def test_what_loading_said_of_equal_and_nearly_equal_rows_stands_in_the_card(tmp_path):
    folder = lives.pictures(tmp_path / "pictures", ["a", "b"], "")
    for number in range(3):
        brighter = np.asarray(Image.open(folder / "test" / "a" / f"{number:03d}.png")) // 2 + 60
        Image.fromarray(brighter.astype("uint8")).save(folder / "train" / "a" / f"near{number}.png")
    shutil.copy(folder / "test" / "b" / "000.png", folder / "train" / "b" / "equal.png")
    value = lives.live(lives.PICTURES.replace("SOURCE", str(folder)), tmp_path / ".lichen")
    store = Store(tmp_path / ".lichen")
    text = card.markdown(
        findings.gather(store.value(value.digest, store.origin(value.digest)), Session(store=store))
    )
    store.close()
    assert "Dropped 1 train rows that also stand in a split that judges them." in text
    assert "3 test rows have near duplicates in train (kept), such as test/a/" in text
    assert "The test split was opened once along this lineage." in text
