"""The shipped life of a language model, on little data and small nets: every branch ends in one table."""

import random
from pathlib import Path

import pytest

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "language_life.yaml"
TOPICS = {
    "World": ["war", "government", "president", "peace"], "Sports": ["game", "team", "coach", "goal"],
    "Business": ["stocks", "bank", "profits", "trade"], "Sci/Tech": ["software", "chip", "web", "space"],
}  # fmt: skip
SMALL = (
    "tokenizer.size=290", "base.net_options={depth: 1, width: 32, num_heads: 2}", "base.max_tokens=280",
    "base.steps=6", "lora.rate=0.01", "full.epochs=2", "full.rate=0.01", "few_shot.max_tokens=20",
    "quantize.max_drop=0.2", "quantize.group=32", "quantize.num_calibration=20",
)  # fmt: skip
WAYS = ("adapt.finetune epochs=2 freeze=none", "adapt.adapter", "adapt.finetune freeze=body",
        "adapt.prompt shots=4", "adapt.prompt", "deploy.export")  # fmt: skip


@pytest.fixture
def news(tmp_path, monkeypatch):
    """240 rows of a few words each, one topic after the other."""
    draws = random.Random(0)
    rows = [(label, " ".join(draws.choice(TOPICS[label]) for _ in range(5)) + f" {number}")
            for number in range(60) for label in TOPICS]  # fmt: skip
    table = "\n".join(["text,label", *(f"{text},{label}" for label, text in rows)])
    (tmp_path / "news.csv").write_text(table + "\n")
    monkeypatch.chdir(tmp_path)
    return "data=news.csv"


@pytest.mark.slow
def test_five_ways_to_one_task_stand_in_one_table_and_the_best_leaves_as_a_graph(lichen, news):
    told = lichen("run", RECIPE, news, *SMALL, "--json")
    assert told.code == 0, told.out
    said = told.data
    points = said["studies"]["beside"]["points"]
    assert [point["words"][: len(way)] for point, way in zip(points, WAYS, strict=True)] == list(WAYS)
    assert points[0]["value"] > points[4]["value"]
    assert points[5]["value"] == points[0]["value"] and said["test"]["split"] == "test"
    eight = next(row for row in said["rows"] if row["step"] == "compress.quantize")
    assert eight["metric"] == "bits_per_byte" and eight["size_bytes"] < 0.5 * said["rows"][2]["size_bytes"]
    assert said["rows"][-1]["step"] == "deploy.export" and said["rows"][-1]["kind"] == "program"
    again = lichen("run", RECIPE, news, *SMALL)
    assert "0 computed" in again.out and all(way in again.out.partition("beside:")[2] for way in WAYS)
    page = Path(said["report"]).read_text()
    assert "Side by side" in page and "adapt.prompt shots=4" in page
    answers = lichen("predict", "language_life", "stocks bank profits", "--json").data
    assert answers[0]["label"] in TOPICS
