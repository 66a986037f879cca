"""test_mistakes: what users get wrong is one message that names file, row or key, and the right exit code."""

import json
import os
import re
import subprocess
import sys
import zlib

import numpy as np
import pytest

import lichen as li
from lichen.core import session
from lichen.core.store import Store

HEAD = "lichen: 1\ndata: {source: digits, num_train: 300}\nsteps:\n"
TRAIN = "  - pretrain.train: {net: mlp, epochs: 1, precision: float32}\n"


@pytest.fixture
def refused(lichen, home):
    """Runs a recipe's text; checks that the message has these words and the process this code."""

    def run(text, code, *words, changes=()):
        (home / "wrong.yaml").write_text(text)
        said = lichen("run", "wrong.yaml", "--no-test", *changes)
        assert said.code == code, said.err
        assert said.err.count("error: ") == 1 and "bug" not in said.err
        for word in words:
            assert word in said.err, said.err
        again = lichen("run", "wrong.yaml", "--no-test", "--json", *changes)
        assert again.code == code and set(again.data["error"]) == {"message", "where", "hint", "exit_code"}
        assert lichen("store", "check").code == 0  # nothing is lost
        return said.err

    return run


RECIPES = {
    "unknown step": (
        HEAD + "  - pretrain.trian: {}\n",
        2,
        ("wrong.yaml:4", "did you mean `pretrain.train`?"),
    ),
    "unknown option": (
        HEAD + "  - pretrain.train:\n      epoch: 3\n",
        2,
        ("wrong.yaml:5", "did you mean `epochs`?"),
    ),
    "unknown net": (
        HEAD + "  - pretrain.train: {net: resnet21}\n",
        3,
        ("wrong.yaml:4", "did you mean `resnet"),
    ),
    "unknown task": (
        HEAD + "  - pretrain.train: {task: image_clasification}\n",
        3,
        ("wrong.yaml:4", "did you mean"),
    ),
    "unknown option of a net": (
        HEAD + "  - pretrain.train: {net: mlp, net_options: {widht: 3}, epochs: 1}\n",
        2,
        ("`widht`", "did you mean `width`?", "wrong.yaml:4"),
    ),
    "wrong type": (
        HEAD + "  - pretrain.train: {epochs: many}\n",
        2,
        ("a whole number >= 1, not 'many'", "wrong.yaml:4"),
    ),
    "out of range": (
        HEAD + "  - augment.policy: {ops: [{rotate: 900}]}\n",
        2,
        ("from 0 to 180", "wrong.yaml:4"),
    ),
    "a Model after a Program": (
        HEAD + TRAIN + "  - compress.quantize: {}\n  - compress.prune: {}\n",
        2,
        ("takes a Model for `model`, not a Program", "wrong.yaml:6"),
    ),
    "no data": ("lichen: 1\nsteps:\n" + TRAIN, 2, ("needs a Dataset", "wrong.yaml:3")),
    "data that are nowhere": (
        "lichen: 1\ndata: digist\nsteps:\n" + TRAIN,
        3,
        ("did you mean `digits`?", "wrong.yaml:2"),
    ),
    "an empty recipe": ("", 2, ("the recipe is empty", "lichen new")),
    "no recipe at all": ("hello\n", 2, ("must be a mapping", "wrong.yaml:1")),
    "no YAML": ("lichen: 1\ndata: [digits\nsteps:\n", 2, ("not YAML", "begins on line 2")),
    "a tab": ("lichen: 1\nsteps:\n\t- pretrain.train: {}\n", 2, ("wrong.yaml:3", "spaces, not with tabs")),
    "no space after a colon": (
        HEAD + "  - pretrain.train:{net: cnn}\n",
        2,
        ("a space after the colon", "wrong.yaml:4"),
    ),
    "options beside the step": (
        HEAD + "  - pretrain.train:\n    net: cnn\n",
        2,
        ("indent its options", "wrong.yaml:4"),
    ),
    "no version": ("data: digits\n", 2, ("begins with `lichen: 1`",)),
    "another key": (HEAD.replace("steps", "step"), 2, ("did you mean `steps`?", "wrong.yaml:3")),
    "a name that nothing has": (
        HEAD + "  - pretrain.train: {data: $teacher}\n",
        3,
        ("`$teacher`", "wrong.yaml:4"),
    ),
    "an unknown study": (
        HEAD + TRAIN + "studies:\n  - ablat: {}\n",
        2,
        ("unknown study", "did you mean `ablate`?"),
    ),
    "divergence": (
        HEAD + "  - pretrain.train: {net: mlp, epochs: 1, rate: 1e30, precision: float32}\n",
        6,
        ("the loss became", "wrong.yaml:4", "try a rate"),
    ),
}


@pytest.mark.parametrize("what", RECIPES)
def test_recipe(refused, what):
    text, code, words = RECIPES[what]
    refused(text, code, *words)


CHANGES = {
    "no value": ("train.epochs", 2, "as in train.epochs=20"),
    "no such step": ("trian.epochs=2", 2, "did you mean `train`?"),
    "no such option": ("train.epoch=2", 2, "did you mean `epochs`?"),
    "out of range": ("train.epochs=-2", 2, "--> train.epochs=-2"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_change_on_the_command_line(refused, what):
    change, code, words = CHANGES[what]
    refused(HEAD + TRAIN, code, words, changes=[change])


def of(source):
    return f"lichen: 1\ndata: {source}\nsteps:\n{TRAIN}"


def table(home, name, header, rows):
    lines = [",".join(header), *(",".join(map(str, row)) for row in rows)]
    (home / name).write_text("\n".join(lines) + "\n")


def pixels(count=40):
    return np.random.default_rng(0).integers(0, 256, (count, 16)).tolist()


NAMES = [f"p{number}" for number in range(16)]


def test_a_missing_column_hints_at_the_nearest(refused, home):
    table(home, "t.csv", ["labell", *NAMES], [[row % 2, *cells] for row, cells in enumerate(pixels())])
    refused(of("t.csv"), 2, "no column looks like the label", "t.csv", "did you mean label=`labell`?")
    refused(of("{source: t.csv, label: lable}"), 2, "no column `lable`", "did you mean `labell`?")


def test_a_label_of_the_wrong_type_names_its_row(refused, home):
    table(home, "t.csv", ["label", *NAMES], [[row / 4, *cells] for row, cells in enumerate(pixels())])
    refused(of("t.csv"), 2, "a label must be a class", "t.csv, row 1, column label")


def test_a_pixel_that_is_no_number_names_its_row(refused, home):
    rows = [[row % 2, *cells] for row, cells in enumerate(pixels())]
    rows[5][7] = "nan"
    table(home, "t.csv", ["label", *NAMES], rows)
    refused(of("t.csv"), 2, "not 'nan'", "t.csv, row 5, column p6")
    with pytest.raises(li.LichenError, match="row 3"):
        images = np.zeros((8, 4, 4))
        images[3, 0, 0] = np.nan
        li.arrays(images, [0, 1] * 4)


def test_an_unreadable_picture_names_its_file(refused, photos):
    (photos / "cat" / "7.png").write_text("no picture")
    refused(of(photos), 2, "the image cannot be read", "cat/7.png")


def test_a_truncated_picture_names_its_file(refused, photos):
    for path in photos.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:70] if path.stem in "123456" else path.read_bytes())
    refused(of(photos), 2, "the image is damaged", ".png")


def bomb(side):
    def chunk(kind, data):
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    head = side.to_bytes(4) * 2 + bytes([8, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [14_000, 60_000])
def test_a_picture_that_unpacks_to_gigabytes_is_refused_by_its_header(refused, photos, lichen, side):
    (photos / "dog" / "3.png").write_bytes(bomb(side))
    refused(of(photos), 4, "178956970 pixels", "dog/3.png")
    assert lichen("predict", "small", photos / "dog" / "3.png").code == 4


def test_one_class_is_too_few(refused, photos):
    for path in (photos / "dog").iterdir():
        path.unlink()
    refused(of(photos), 2, "two classes at least", "only `cat`", str(photos))


def test_folders_without_pictures(refused, home):
    (home / "void" / "cat").mkdir(parents=True)
    refused(of("void"), 2, "no reader knows", "one folder per class")


def test_an_empty_split_is_said(lichen, home):
    data = Store(home / ".lichen").keep(li.arrays(np.zeros((4, 8, 8)), list("0123"), splits=["train"] * 4))
    said = lichen("evaluate", "small", data.digest[:12])
    assert said.code in (2, 3) and "split `validation` has no rows" in said.err


def test_a_folder_that_may_not_be_read(refused, photos, monkeypatch):
    scandir = os.scandir

    def denied(path="."):
        if str(path).endswith("photos"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    refused(of(photos), 5, "no permission to read the data", str(photos))


def test_values_that_are_nowhere_or_more_than_one(lichen, home):
    said = lichen("show", "smal")
    assert said.code == 3 and "did you mean `small`?" in said.err
    assert "4 characters or more" in lichen("show", "a").err
    store = Store(home / ".lichen")
    for digest in ("abcd" + "0" * 60, "abcd" + "1" * 60):
        store.records.insert("vals", digest=digest, kind="scores", manifest="{}", created="2026")
    said = lichen("show", "abcd")
    assert said.code == 3 and "more than one value starts with `abcd`" in said.err


def test_a_recipe_that_is_nowhere(lichen, home):
    said = lichen("run", "smal.yaml")
    assert said.code == 3 and "did you mean `small.yaml`?" in said.err
    assert lichen("run", home).code == 3


def test_store_paths_that_cannot_be(lichen, home):
    (home / "file").write_text("mine")
    said = lichen("run", "small.yaml", "--store", home / "file")
    assert said.code == 2 and "a store must be a folder" in said.err and (home / "file").read_text() == "mine"
    assert lichen("run", "small.yaml", "--store", "/proc/nowhere").code == 5
    assert lichen("models", "--store", home / "none").code == 3


def test_a_store_that_is_read_only_is_used_and_left_as_it_is(lichen, home, monkeypatch):
    access = os.access
    monkeypatch.setattr(
        os,
        "access",
        lambda path, mode: not (mode == os.W_OK and str(path).endswith(".lichen")) and access(path, mode),
    )
    assert lichen("show", "small").code == 0 and lichen("evaluate", "small").code == 0
    for verb in (["promote", "small", "small@prod"], ["store", "gc"], ["rollback", "small"]):
        said = lichen(*verb)
        assert said.code in (2, 5) and "bug" not in said.err
    said = lichen("run", "small.yaml", "train.epochs=2", "--no-test")
    assert said.code == 0 and "the store is read-only" in said.err
    assert lichen("show", "small", "--json").data["lineage"][-1]["options"]["epochs"] == 3


USERS = '''import lichen as li


@li.step
def halve(data: li.Dataset, *, by: int = 2) -> li.Dataset:
    """Halves."""
    return data / by


def loss(outputs, targets):
    return outputs.nope()
'''


def test_a_users_step_that_raises_is_named_with_its_line(refused, home):
    (home / "mine.py").write_text(USERS)
    refused(
        HEAD + "  - mine:halve: {}\n",
        6,
        "step `mine:halve` raised TypeError",
        f"{home}/mine.py:7",
        "LICHEN_DEBUG=1",
    )
    text = HEAD + "  - pretrain.train: {net: mlp, epochs: 1, loss: 'mine:loss', precision: float32}\n"
    refused(text, 6, "`pretrain.train` raised AttributeError", f"{home}/mine.py:11")


def test_a_step_of_ours_that_raises_is_our_bug(lichen, home, monkeypatch):
    from lichen.steps.augment import policy

    monkeypatch.setattr(policy.augment, "policy_of", None)
    said = lichen("run", "small.yaml", "--fresh", "--no-test")
    assert said.code == 70 and "a bug" in said.err and "TypeError" in said.err


@pytest.mark.parametrize(
    "words", ["DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"]
)
def test_too_little_memory_is_no_bug(lichen, home, monkeypatch, words):
    from lichen.steps.augment import policy

    def full(ops, favour):
        raise RuntimeError(words)

    monkeypatch.setattr(policy.augment, "policy_of", full)
    said = lichen("run", "small.yaml", "--fresh", "--no-test")
    assert said.code == 5 and "ran out of memory" in said.err


LINES = {
    "an unknown verb": (["rnu"], "did you mean `run`?"),
    "a step as a verb": (["trim"], "`compress.trim` is a step of recipes: lichen steps compress.trim"),
    "an unknown flag": (["run", "small.yaml", "--fersh"], "did you mean `--fresh`?"),
    "an option as a flag": (["run", "small.yaml", "--epochs", "3"], "train.epochs=20"),
    "a choice": (["run", "small.yaml", "--device", "gpu"], "auto, cpu, cuda, not `gpu`"),
    "too little": (["show"], "`lichen show` needs value"),
    "too much": (["show", "small", "other"], "`other` has no meaning here"),
    "a tracker": (["run", "small.yaml", "--track", "wandb:x"], "tensorboard:FOLDER"),
    "a name with a space": (["promote", "small", "my model"], "letters, digits"),
    "no number": (["log", "-n", "many"], "invalid int value"),
}


@pytest.mark.parametrize("what", LINES)
def test_command_line(lichen, home, what):
    argv, words = LINES[what]
    said = lichen(*argv)
    assert said.code == 2 and words in said.err, said.err


INTERRUPTED = """
import os, signal, sys
from lichen.core.context import Context
from lichen.core.session import Session
from lichen.engine.training import execution
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it
execution._fastest = lambda *_: execution.Execution()
Session.__init__.__kwdefaults__["checkpoint_every_s"] = 0.0
store, num_checkpoints, plain = sys.argv[1], int(sys.argv[2]), Context.checkpoint
def checkpoint(self, state, arrays):
    global num_checkpoints
    plain(self, state, arrays)
    num_checkpoints -= 1
    if num_checkpoints == 0:
        os.kill(os.getpid(), signal.SIGINT)
Context.checkpoint = checkpoint
from lichen.cli.main import main
sys.exit(main(["run", "long.yaml", "--no-test", "--json", "--store", store]))
"""


@pytest.mark.slow
def test_an_interrupt_keeps_finished_steps_and_the_last_checkpoint(home):
    assert "checkpoint_every_s" in session.Session.__init__.__kwdefaults__
    recipe = (
        HEAD + "  - pretrain.train: {net: mlp, net_options: {width: 16}, epochs: 4, precision: float32}\n"
    )
    (home / "long.yaml").write_text(recipe)

    def run(store, num_checkpoints):
        return subprocess.run(
            [sys.executable, "-c", INTERRUPTED, store, str(num_checkpoints)],
            cwd=home, capture_output=True, text=True, check=False,
        )  # fmt: skip

    cut = run(".lichen", 7)
    assert cut.returncode == 130 and "goes on from here" in cut.stderr and "Traceback" not in cut.stderr
    again, whole = run(".lichen", 0), run("whole", 0)
    path = max((home / ".lichen" / "runs").iterdir()) / "events.jsonl"
    assert "going on from a checkpoint" in path.read_text()
    assert json.loads(again.stdout)["rows"][-1]["digest"] == json.loads(whole.stdout)["rows"][-1]["digest"]


def test_json_errors_are_one_object(lichen, home):
    said = lichen("show", "nope", "--json")
    assert said.data["error"]["exit_code"] == said.code == 3 and not re.search("error:", said.err)
