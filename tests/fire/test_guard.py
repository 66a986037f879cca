"""Leaks of the test split: each kind is planted, caught, and seen to pass once the check is taken away."""

import json
import os
import sys
import types
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import pytest
import toy
from PIL import Image

import lichen as li
from lichen.core import calling, guard, life, recipefile, session, tally
from lichen.core.dataset import SPLITS, Dataset
from lichen.core.errors import DataError, LeakError
from lichen.core.model import Model
from lichen.core.scores import Scores
from lichen.core.value import Chain, Memory
from lichen.data import manifest, splits
from lichen.data.near import report as near


def drawn(num_rows, seed=0, side=40):
    """uint8 (N, 3, side, side): smooth colours with sharp shapes, all different."""
    draws = np.random.default_rng(seed)
    places = np.linspace(0, 5, side)
    enlarge = np.clip(1 - np.abs(places[:, None] - np.arange(6)), 0, None)
    pixels = enlarge @ draws.integers(0, 255, (num_rows, 3, 6, 6)) @ enlarge.T
    for row in range(num_rows):
        for _ in range(4):
            top, left, height, width = draws.integers(4, side // 2, 4)
            pixels[row, :, top : top + height, left : left + width] = draws.integers(0, 255, (3, 1, 1))
    return pixels.astype(np.uint8)


def written(folder, parts, form="png"):
    for split, rows in parts.items():
        for row, pixels in enumerate(rows):
            path = folder / split / "ab"[row % 2] / f"{row:03d}.{form}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.transpose(1, 2, 0)).save(path)
    return folder


@pytest.fixture(scope="module")
def data():
    pixels = drawn(60)
    return li.arrays(pixels, np.arange(60) % 2, splits=["train"] * 30 + ["validation"] * 10 + ["test"] * 20)


@pytest.fixture
def model():
    return toy.a_model(1.0, 2.0)


def mean_of(data, split):
    return float(data.rows(split).images.mean())


@li.step
def normalised(data: Dataset) -> Model:
    """Statistics of all rows."""
    return toy.a_model(*(mean_of(data, split) for split in ("train", "validation", "test")))


@li.step(splits=("train", "test"))
def declared(data: Dataset) -> Model:
    """Learns from test and says so."""
    return toy.a_model(mean_of(data, "test"))


@li.step(splits="split")
def calibrated(data: Dataset, *, split: str = "train") -> Model:
    """Calibrates on the split it is told."""
    return toy.a_model(mean_of(data, split))


@li.step(splits="split")
def measured(model: Model, data: Dataset, *, split: str = "validation") -> Scores:
    """A measurement of the user's."""
    return toy.scores_of(model, data, np.array([mean_of(data, split), 0.5]))


@li.step
def thresholded(model: Model, data: Dataset) -> Model:
    """Tunes a threshold by measuring on test."""
    return toy.a_model(measured(model, data, split="test").value)


@li.step
def stopped(model: Model, data: Dataset) -> Model:
    """Stops early by the loss on a view that it widens."""
    return toy.a_model(mean_of(replace(data, allowed=SPLITS), "test"))


@li.step
def reviewed(model: Model, data: Dataset) -> Model:
    """Asks for another view of the data."""
    return toy.a_model(mean_of(data.opened(("test",)), "test"))


@li.step
def repoliced(model: Model, data: Dataset) -> Model:
    """Reads test from a changed copy of the data."""
    return toy.a_model(mean_of(data.with_policy([]), "test"))


@li.step
def selected(model: Model, scores: Scores) -> Model:
    """Chooses by scores."""
    return toy.a_model(scores.value)


@li.step
def rummaged(data: Dataset) -> Model:
    """Reads the bytes of test."""
    return toy.a_model(
        float(np.frombuffer(data.blobs.get(data.splits["test"]["content"]["blob"]), "u1").mean())
    )


@li.step
def generated(data: Dataset) -> Dataset:
    """Train rows made of test rows."""
    images = np.clip(data.rows("test").images + 3.0, 0, 255).astype("uint8")
    return li.arrays(images, np.arange(len(images)) % 2, splits=["train"] * len(images))


@li.step
def moved(data: Dataset) -> Dataset:
    """Test rows under the name of train, and still in test."""
    parts = {**data.splits, "train": data.splits["test"]}
    return replace(data, manifest={**data.manifest, "splits": parts}, blobs=Chain((data.blobs, Memory())))


@li.step
def renamed(data: Dataset) -> Dataset:
    """Test rows under the name of train, and no test."""
    parts = {"train": data.splits["test"], "validation": data.splits["validation"]}
    return replace(data, manifest={**data.manifest, "splits": parts})


@li.step
def learnt(data: Dataset) -> Model:
    """Learns from train, as one should."""
    return toy.a_model(mean_of(data, "train"))


VIEWS = []


@li.step
def keeping(data: Dataset) -> Model:
    """Puts its view aside."""
    put_aside(data)
    return toy.a_model(1.0)


def put_aside(data):
    VIEWS.append(data)


def a_kept_view(data, model):
    VIEWS.clear()
    session_free(keeping, data)
    return mean_of(VIEWS[0], "test")


def session_free(one, *values, **options):
    return calling.execute(one, calling.bind(one.signature, values, {}), options, session.current())


def a_captured_dataset(data, model):
    @li.step
    def sly(model: Model) -> Model:
        """Uses data that it was not handed."""
        return toy.a_model(float(data.rows("test").images.mean()))

    return sly(model)


@li.step
def roundabout(model: Model) -> Model:
    """Finds data in a module, which no code of its own names."""
    return toy.a_model(mean_of(sys.modules["shelf_of_data"].DATA, "test"))


@li.step
def fetched(model: Model) -> Model:
    """Loads data by itself."""
    return toy.a_model(mean_of(li.load("digits"), "test"))


@li.step
def examined(model: Model, data: Dataset) -> Model:
    """Has another step open test for it."""
    return toy.a_model(measured(model, sys.modules["shelf_of_data"].DATA, split="test").value)


def with_shelf(step):
    """A module that holds the data is there while a step runs."""

    def leak(data, model):
        sys.modules["shelf_of_data"] = types.SimpleNamespace(DATA=data)
        try:
            return step(data, model)
        finally:
            del sys.modules["shelf_of_data"]

    return leak


def of_renamed(data, model):
    return measured(learnt(renamed(data)), data, split="test")


def no_views(patch):
    patch.setattr(Dataset, "opened", lambda self, splits: self)


def no_check(patch):
    patch.setattr(guard, "check", lambda *_: None)


def rows_unchecked(patch):
    patch.setattr(manifest, "_check_apart", lambda *_: None)


def not_inside(patch):
    patch.setattr(guard, "inside", lambda *_: nullcontext())


def captured_unchecked(patch):
    patch.setattr(guard, "check_captured", lambda *_: None)


LEAKS = {
    "normalisation statistics of test": (lambda data, model: normalised(data), [no_views, not_inside]),
    "a model that declares test": (lambda data, model: declared(data), [no_check, no_views]),
    "calibration on test": (lambda data, model: calibrated(data, split="test"), [no_check]),
    "a threshold tuned on test inside a step": (
        lambda data, model: thresholded(model, data),
        [no_views, not_inside],
    ),
    "early stopping on a widened view": (lambda data, model: stopped(model, data), [no_views, not_inside]),
    "a view asked for another split": (lambda data, model: reviewed(model, data), [no_views, not_inside]),
    "a changed copy of a view": (lambda data, model: repoliced(model, data), [no_views, not_inside]),
    "selection by scores of test": (
        lambda data, model: selected(model, measured(model, data, split="test")),
        [no_check],
    ),
    "the bytes of test": (lambda data, model: rummaged(data), [no_views]),
    "rows generated from test": (lambda data, model: generated(data), [no_views, not_inside]),
    "test rows moved into train": (lambda data, model: learnt(moved(data)), [rows_unchecked]),
    "a test split renamed to train": (of_renamed, [no_check]),
    "a view kept from an earlier step": (a_kept_view, [no_views]),
    "data of a module": (with_shelf(lambda data, model: roundabout(model)), [not_inside]),
    "data that a step loads by itself": (lambda data, model: fetched(model), [not_inside]),
    "test opened by a step inside a step": (
        with_shelf(lambda data, model: examined(model, data)),
        [not_inside],
    ),
    "data that a step was not handed": (a_captured_dataset, [captured_unchecked, not_inside]),
}


@pytest.mark.parametrize("kind", LEAKS)
def test_a_planted_leak_is_refused(kind, data, model, tmp_path):
    with session.opened(tmp_path / ".lichen"), pytest.raises(LeakError):
        LEAKS[kind][0](data, model)


@pytest.mark.parametrize("kind", LEAKS)
def test_without_its_check_the_leak_passes(kind, data, model, tmp_path, monkeypatch):
    leak, checks = LEAKS[kind]
    for take_away in checks:
        take_away(monkeypatch)
    with session.opened(tmp_path / ".lichen"):
        leak(data, model)


def test_what_a_step_hands_back_of_its_view_is_whole_again(data, tmp_path):
    for place in (None, tmp_path / ".lichen"):
        with session.opened(place) if place else session.using(session.Session(store=None)):
            made = li.augment.policy(data, ops=["flip"])
            assert np.array_equal(made.rows("test").images, data.rows("test").images)


PIXELS = drawn(80)


def heard_of(folder, **options):
    """The Dataset of a folder and what was noted while it was loaded."""
    heard = []
    with session.opened(folder.parent / f"{folder.name}.lichen", sinks=(heard.append,)):
        data = li.load(str(folder), **options)
    return data, [event["text"] for event in heard if event["kind"] == "note"]


def test_exact_test_rows_in_train_are_dropped_refused_or_kept_and_said(tmp_path):
    parts = {"train": PIXELS[:50], "validation": PIXELS[50:60], "test": [*PIXELS[60:], *PIXELS[:4]]}
    folder = written(tmp_path / "d", parts)
    data, told = heard_of(folder)
    assert data.num_rows("train") == 46 and told == [
        "dropped 4 train rows that also stand in a split that judges them"
    ]
    with pytest.raises(DataError, match="4 rows of train"):
        heard_of(folder, duplicates="refuse")
    data, told = heard_of(folder, duplicates="keep")
    assert data.num_rows("train") == 50 and told[0].startswith("kept 4 train rows")
    learnt(data)  # as told


def test_exact_rows_of_arrays_in_two_splits_are_refused_or_dropped(monkeypatch):
    pixels, places = np.concatenate([PIXELS[:20], PIXELS[:2]]), ["train"] * 20 + ["test"] * 2
    with pytest.raises(DataError, match="2 rows of train"):
        li.arrays(pixels, np.arange(22) % 2, splits=places)
    assert li.arrays(pixels, np.arange(22) % 2, splits=places, duplicates="drop").num_rows("train") == 18
    monkeypatch.setattr(splits, "refuse", lambda parts: None)
    monkeypatch.setattr(splits, "separate", lambda parts: splits.Apart(parts))
    leaky = li.arrays(pixels, np.arange(22) % 2, splits=places)
    with pytest.raises(LeakError, match="2 rows of train also stand in test"):
        learnt(leaky)


NEAR = {
    "brighter": lambda rows: np.clip(rows * 0.8 + 40, 0, 255).astype(np.uint8),
    "moved": lambda rows: np.pad(rows, ((0, 0), (0, 0), (1, 0), (1, 0)), "edge")[:, :, :-1, :-1],
    "mirrored": lambda rows: rows[:, :, :, ::-1],
    "noise on test": lambda rows: np.clip(
        rows + np.random.default_rng(5).normal(0, 6, rows.shape), 0, 255
    ).astype(np.uint8),
}


@pytest.mark.parametrize("kind", NEAR)
def test_near_copies_of_test_in_train_are_noted(kind, tmp_path, monkeypatch):
    train = np.concatenate([PIXELS[:40], NEAR[kind](PIXELS[60:70])])
    folder = written(tmp_path / "d", {"train": train, "validation": PIXELS[50:60], "test": PIXELS[60:]})
    _, told = heard_of(folder)
    assert len(told) == 1 and told[0].partition(" test rows have near duplicates in train")[0] in ("9", "10")
    monkeypatch.setattr(near, "report", lambda *_: None)
    assert heard_of(written(tmp_path / "again", {"train": train, "test": PIXELS[60:]}), validation=0)[1] == []


def test_copies_encoded_anew_are_noted(tmp_path):
    folder = written(tmp_path / "d", {"train": PIXELS[:40], "validation": PIXELS[50:60], "test": PIXELS[60:]})
    written(folder, {"train": PIXELS[60:70]}, "jpg")
    _, told = heard_of(folder)
    assert len(told) == 1 and "test rows have near duplicates in train (kept)" in told[0]


def phrases(num_rows, seed=0, length=12):
    """Sentences of words drawn from a few, all different."""
    draws = np.random.default_rng(seed)
    words = [
        a + b for a in ("mo", "li", "fer", "al", "spo", "bar") for b in ("ss", "chen", "n", "ga", "re", "k")
    ]
    return [" ".join(draws.choice(words, length)) for _ in range(num_rows)]


def spoken(folder, parts):
    folder.mkdir()
    for split, rows in parts.items():
        lines = (json.dumps({"text": text, "label": row % 2}) for row, text in enumerate(rows))
        (folder / f"{split}.jsonl").write_text("\n".join(lines))
    return folder


SAID = phrases(80)


def test_exact_texts_of_test_in_train_are_dropped_refused_or_kept_and_said(tmp_path):
    parts = {"train": [*SAID[:50], *SAID[60:64]], "validation": SAID[50:60], "test": SAID[60:]}
    folder = spoken(tmp_path / "d", parts)
    data, told = heard_of(folder)
    assert data.num_rows("train") == 50 and told == [
        "dropped 4 train rows that also stand in a split that judges them"
    ]
    with pytest.raises(DataError, match="4 rows of train"):
        heard_of(folder, duplicates="refuse")
    data, told = heard_of(folder, duplicates="keep")
    assert data.num_rows("train") == 54 and told == [
        "kept 4 train rows that also stand in a split that judges them"
    ]


def test_exact_texts_in_two_splits_are_refused_or_dropped(monkeypatch):
    rows, places = [*SAID[:20], *SAID[:2]], ["train"] * 20 + ["test"] * 2
    with pytest.raises(DataError, match="2 rows of train"):
        li.texts(rows, np.arange(22) % 2, splits=places)
    assert li.texts(rows, splits=places, duplicates="drop").num_rows("train") == 18
    monkeypatch.setattr(splits, "refuse", lambda parts: None)
    monkeypatch.setattr(splits, "separate", lambda parts: splits.Apart(parts))
    with pytest.raises(LeakError, match="2 rows of train also stand in test"):
        read_texts(li.texts(rows, splits=places))


@li.step
def read_texts(data: Dataset) -> Model:
    """Learns from texts."""
    return toy.a_model(float(len(data.rows("train").texts)))


NEAR_TEXTS = {
    "other case": str.upper,
    "punctuation": lambda text: f'"{text.replace(" ", ", ")}".',
    "a word changed": lambda text: "other " + text.partition(" ")[2],
    "a word more": lambda text: f"{text} again",
}


@pytest.mark.parametrize("kind", NEAR_TEXTS)
def test_near_copies_of_texts_of_test_in_train_are_noted(kind, tmp_path, monkeypatch):
    copies = [NEAR_TEXTS[kind](text) for text in SAID[60:70]]
    parts = {"train": [*SAID[:40], *copies], "validation": SAID[50:60], "test": SAID[60:]}
    _, told = heard_of(spoken(tmp_path / "d", parts))
    assert len(told) == 1 and told[0].startswith(
        "10 test rows have near duplicates in train (kept), such as "
    )
    assert told[0].count(".jsonl, byte ") == 2
    monkeypatch.setattr(near, "report", lambda *_: None)
    assert heard_of(spoken(tmp_path / "again", parts))[1] == []


def test_texts_of_test_inside_train_are_reported_and_are_no_alarm(tmp_path):
    inside = [" ".join(text.split()[3:8]) for text in SAID[:10]]
    parts = {"train": SAID[:40], "validation": SAID[50:60], "test": inside}
    data, told = heard_of(spoken(tmp_path / "d", parts), duplicates="refuse")
    assert len(told) == 1 and told[0].startswith("10 test rows occur inside rows of train (kept), such as ")
    assert read_texts(data)


@pytest.mark.skipif(not os.environ.get("LICHEN_DATA"), reason="LICHEN_DATA is not set: real data is not here")
@pytest.mark.parametrize(("name", "most"), [("sst2", 0.9), ("ag_news", 0.03)])
def test_clean_texts_raise_no_alarm_and_what_is_near_is_reported(name, most, tmp_path):
    """Most validation phrases of SST-2 occur in train phrases; AG News has some articles twice."""
    heard = []
    with session.opened(tmp_path / ".lichen", sinks=(heard.append,)):
        data = li.load(name)
        read_texts(data)
    told = [event["text"] for event in heard if event["kind"] == "note"]
    shares = [int(text.split()[0]) / data.num_rows(text.split()[1]) for text in told if "(kept)" in text]
    assert any("validation rows have near duplicates in train" in text for text in told)
    assert 0 < max(shares) < most and all("dropped" in text or "(kept)" in text for text in told)


def test_every_call_records_what_it_read(data, model, tmp_path):
    with session.opened(tmp_path / ".lichen"):
        assert learnt(data).made.call.read == ("train", "validation")
        assert measured(model, data, split="test").made.call.read == ("test",)
        assert li.augment.policy(data, ops=["flip"]).made.call.read == ()


def test_tuning_by_evaluation_on_test_is_counted_along_the_lineage(data, tmp_path):
    with session.opened(tmp_path / ".lichen") as opened:
        first = learnt(data)
        second = toy.tune(first, data, times=2)
        measured(first, data, split="test")
        measured(second, data, split="test")
        measured(second, data, split="validation")
        assert (tally.times_opened(first, opened), tally.times_opened(second, opened)) == (1, 2)


@dataclass(frozen=True)
class Clean:
    load: str
    steps: tuple[str, ...]


DRAWN, DIGITS = "{source: DRAWN}", "{source: digits, num_train: 120}"
TRAIN = "pretrain.train: {net: mlp, epochs: 1, precision: float32}"
CLEAN = [
    Clean(load, (*policy, TRAIN, *after))
    for load in (DRAWN, DIGITS)
    for policy in ((), ("augment.policy: {ops: [shift]}",))
    for after in (
        (),
        ("assess.evaluate: {}",),
        ("adapt.finetune: {epochs: 1, precision: float32}",),
        (TRAIN.replace("1,", "2,"),),
        ("deploy.export: {}",),
    )
]


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    home = tmp_path_factory.mktemp("clean")
    rows = drawn(90, seed=9, side=12)
    written(home / "drawn", {"train": rows[:60], "validation": rows[60:75], "test": rows[75:]})
    return home


@pytest.mark.parametrize("number", range(len(CLEAN)))
def test_a_clean_recipe_raises_no_alarm(number, clean):
    recipe = CLEAN[number]
    text = f"lichen: 1\ndata: {recipe.load.replace('DRAWN', str(clean / 'drawn'))}\nsteps:\n"
    text += "".join(f"  - {line}\n" for line in recipe.steps)
    heard = []
    with session.opened(clean / ".lichen", sinks=(heard.append,)) as opened:
        chain = life.run(recipefile.parse(text), opened)
        value = chain.current.get("model")
        tally.evaluate(value, chain.current["data"], "test", opened)
        assert tally.times_opened(value, opened) >= 1
    told = [event["text"] for event in heard if event["kind"] == "note" and event["step"] == "prepare.load"]
    assert [text for text in told if "stand in" in text or recipe.load == DRAWN] == []


def test_there_are_twenty_clean_recipes():
    assert len(CLEAN) == 20 and len(set(CLEAN)) == 20
