"""test_lives: a recipe runs, is found again, is asked why, and is written for a folder."""

from lichen.cli import proposals, starting
from lichen.core import flow, recipefile


def test_the_second_run_finds_everything(lichen, home):
    said = lichen("run", "small.yaml", "--json")
    assert said.code == 0 and said.data["computed"] == 0
    assert [row["found"] for row in said.data["rows"]] == [True, True, True]
    assert lichen("run", "small.yaml").out.count("found\n") == 3


def test_rows_are_aligned(lichen, home):
    lines = lichen("run", "small.yaml").out.splitlines()[:4]
    assert len({len(line) for line in lines}) == 1, lines


def test_changes_may_follow_flags(lichen, home):
    said = lichen("run", "small.yaml", "--no-test", "train.epochs=1", "--json")
    assert said.code == 0 and said.data["test"] is None and said.data["computed"] == 2


def test_flags_may_stand_before_the_verb(lichen, home):
    assert lichen("--json", "models").data == lichen("models", "--json").data
    assert lichen("--store", home / "none", "models").code == 3


def test_a_study_takes_the_values_that_its_line_names(lichen, home):
    text = (home / "small.yaml").read_text()
    less = (
        "  - pretrain.train: {net: mlp, net_options: {width: 32}, epochs: 1, precision: float32, as: less}\n"
    )
    first, _, last = text.rpartition("  - pretrain.train")
    studies = "studies:\n  - beside: {second: $less}\n"
    (home / "both.yaml").write_text(f"{first}{less}  - pretrain.train{last}{studies}")
    said = lichen("run", "both.yaml")
    assert said.code == 0 and "pretrain.train epochs=3  " in said.out and "to the first" in said.out
    table = lichen("run", "both.yaml", "--json").data["studies"]["beside"]["points"]
    assert [point["words"] for point in table] == [f"pretrain.train epochs={n}" for n in (3, 1)]
    (home / "both.yaml").write_text(text + "studies:\n  - beside: {second: $nobody}\n")
    said = lichen("run", "both.yaml")
    assert said.code == 3 and "nothing is called `$nobody`" in said.err and "both.yaml:8" in said.err


def test_why_names_the_option(lichen, home):
    said = lichen("why", "small.yaml", "train.epochs=4", "--json").data
    assert [entry["found"] for entry in said] == [True, True, False]
    assert "epochs" in lichen("why", "small.yaml", "train.epochs=4").out


def test_new_writes_a_recipe_that_passes_the_check(lichen, home, photos):
    said = lichen("new", photos, "--out", "photos.yaml", "--json").data
    assert said["data"]["labels"] == {
        "cat": said["data"]["labels"]["cat"],
        "dog": said["data"]["labels"]["dog"],
    }
    life = recipefile.read("photos.yaml")
    flow.check(life)
    assert [line.step for line in life.lines][:3] == ["prepare.load", "augment.policy", "pretrain.train"]
    assert "# Mind: 2 classes have fewer than" in (home / "photos.yaml").read_text()


def test_new_leaves_a_recipe_alone(lichen, home):
    before = (home / "small.yaml").read_text()
    assert lichen("new", "digits", "--out", "small.yaml").code == 2
    assert (home / "small.yaml").read_text() == before
    assert lichen("new", "digits", "--out", "small.yaml", "--force").code == 0


def test_new_suggests_what_fits(lichen, home, monkeypatch, tmp_path):
    text, _ = starting.suggest("digits")
    assert "net: cnn" in text and "shift, rotate, zoom" in text and "flip" not in text.partition("#")[0]
    monkeypatch.setattr(proposals.pretrained, "is_here", lambda name: False)
    from PIL import Image

    for label in "ab":
        (tmp_path / "large" / label).mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (300, 200 + number), (number, 9, ord(label))).save(
                tmp_path / "large" / label / f"{number}.png"
            )
    text, _ = starting.suggest(str(tmp_path / "large"))
    assert "net: resnet18" in text and "image_size: 64" in text
    monkeypatch.setattr(proposals.pretrained, "is_here", lambda name: True)
    text, _ = starting.suggest(str(tmp_path / "large"))
    assert "adapt.finetune" in text and "weights: timm:tf_efficientnet_lite0" in text
    assert max(map(len, text.splitlines())) <= 110


def test_a_name_that_yaml_would_read_otherwise_is_quoted(lichen, home, photos):
    photos.rename(home / "1: photos")
    assert lichen("new", "1: photos", "--out", "odd.yaml").code == 0
    assert recipefile.read("odd.yaml").lines[0].options["source"] == "1: photos"


def test_texts_without_labels_become_a_language_model(lichen, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").mkdir()
    for number in range(40):
        (tmp_path / "notes" / f"{number}.txt").write_text(f"moss grows on stone {number}\n")
    assert lichen("new", "notes", "--out", "notes.yaml").code == 0
    text = (tmp_path / "notes.yaml").read_text()
    assert "no classes" in text and "pretrain.language" in text
    said = lichen("run", "notes.yaml", "language.steps=2", "language.net_options={depth: 1}", "--json").data
    assert said["rows"][-1]["metric"] == "bits_per_byte"
