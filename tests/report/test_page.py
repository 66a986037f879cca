"""test_page: what a report promises: its sections, equal bytes, nothing loaded or run."""

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import lives

import lichen as li
from lichen.core.errors import UsageError
from lichen.core.session import Session
from lichen.core.store import Store
from lichen.report import card, page

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = (  # of a life of pictures that was ablated and compressed
    "verdict",
    "reproduce",
    "life",
    "pareto",
    "frontier",
    "curves",
    "ablation",
    "quality",
    "samples",
    "why",
    "augmentation",
    "questions",
    "lineage",
    "recipe",
    "openings",
    "environment",
    "data",
)
LABEL, FILE = "<script>alert(1)", '"><script>alert(2)'
CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--enable-logging=stderr",
    "--dump-dom",
)


class Reader(HTMLParser):
    """Collects elements, attributes and text as a browser would see them."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.attributes, self.ids = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits") / ".lichen"
    return folder, lives.live(lives.DIGITS, folder, study=lives.ABLATION).digest


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A life on pictures whose labels and file names are markup."""
    root = tmp_path_factory.mktemp("hostile")
    lives.pictures(root / "rows", [LABEL, "plain"], FILE)
    text = lives.PICTURES.replace("SOURCE", str(root / "rows"))
    return root, lives.live(text, root / ".lichen").digest


def written(folder, digest, path, writer=page):
    store = Store(folder)
    value = store.value(digest, store.origin(digest))
    text = writer.write(value, path, Session(store=store)).read_text(encoding="utf-8")
    store.close()
    return text


def from_the_command_line(folder, digest, path):
    """The page that a fresh process writes."""
    words = ("report", digest[:12], "--store", str(folder), "--out", str(path))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-m", "lichen", *words], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return path.read_text(encoding="utf-8")


def sections(text):
    return re.findall(r'<(?:section|header) id="(\w+)"', text)


def test_the_sections_that_say_something_are_there_in_order_and_linked(digits, tmp_path):
    text = written(*digits, tmp_path / "r.html")
    assert sections(text) == list(SECTIONS)
    links = re.findall(r'<a href="#(\w+)"', text.partition("</nav>")[0])
    assert links == [name for name in SECTIONS if name not in ("verdict", "reproduce")]
    asked = text[text.index('<section id="questions">') :].partition("</section>")[0]
    assert "lichen beside" in asked and "lichen ablate" not in asked and "lichen compress" not in asked


def test_figures_of_the_life_are_on_the_page(digits, tmp_path):
    folder, digest = digits
    text = written(folder, digest, tmp_path / "r.html")
    store = Store(folder)
    scores = card.findings.gather(store.value(digest, store.origin(digest)), Session(store=store))
    assert f"{scores.test.value:.4f}" in text and f"{scores.last.scores.value:.4f}" in text
    assert "test opened once" in text and f"lichen reproduce {digest[:10]}" in text
    assert "compress.prune measurably harmed it in the ablation" in text
    assert text.count('class="shot"') >= 20 and "data:image/png;base64," in text
    assert len(scores.history[scores.calls[2].id]) == 3
    store.close()


def test_a_program_is_explained_by_the_model_it_was_made_of(digits, tmp_path):
    pytest.importorskip("captum")
    written(*digits, tmp_path / "r.html")
    assert "They are of the model" in (tmp_path / "r.html").read_text()


def test_the_frontier_is_drawn_for_a_form_that_the_study_found(digits, tmp_path):
    text = written(*digits, tmp_path / "r.html")
    part = text[text.index('<section id="frontier">') : text.index('<section id="curves">')]
    assert part.count("<svg") == 2 and "Cannot: speedup 3." in part and "a machine of threads 1" in part
    assert "refused: may have lost 0.0300" in part and "the same answers" in part
    assert "&lt;b&gt;7 times at most" in part and "<b>7 times" not in part
    assert "<b>quantize float32 onnxruntime</b>" in part, "the value itself"


def test_without_a_study_the_page_says_how_to_find_smaller_forms(hostile, tmp_path):
    root, digest = hostile
    text = written(root / ".lichen", digest, tmp_path / "r.html")
    assert f"lichen compress {digest[:10]}" in text


def test_equal_findings_make_equal_bytes_also_in_a_fresh_process(digits, tmp_path):
    folder, digest = digits
    once, again = (written(folder, digest, tmp_path / name) for name in ("a.html", "b.html"))
    assert once == again == from_the_command_line(folder, digest, tmp_path / "c.html")


def test_nothing_is_loaded_and_nothing_runs(digits, tmp_path):
    read = Reader(written(*digits, tmp_path / "r.html"))
    assert not {"script", "link", "iframe", "object", "embed", "form"} & set(read.elements)
    addresses = [value for name, value in read.attributes if name in ("src", "href", "xlink:href", "srcset")]
    assert addresses and all(value.startswith(("data:image/png;base64,", "#")) for value in addresses)
    assert not [name for name, _ in read.attributes if name.startswith("on")]


def test_every_picture_has_words(digits, tmp_path):
    text = written(*digits, tmp_path / "r.html")
    assert all("alt=" in image for image in re.findall(r"<img[^>]*>", text))
    for svg in re.findall(r"<svg[^>]*>(?:<title>)?", text):
        assert 'aria-hidden="true"' in svg or (
            'role="img"' in svg and "aria-label=" in svg and "<title>" in svg
        )


def test_labels_and_file_names_stay_text(hostile, tmp_path):
    root, digest = hostile
    for writer, name in ((page, "r.html"), (card, "c.md")):
        text = written(root / ".lichen", digest, tmp_path / name, writer)
        assert "<script" not in text.lower()
    read = Reader(written(root / ".lichen", digest, tmp_path / "r.html"))
    assert "script" not in read.elements
    assert any(FILE in (value or "") for name, value in read.attributes if name == "title")


def test_a_planted_unescaped_label_is_caught(hostile, tmp_path, monkeypatch):
    monkeypatch.setattr("lichen.report.markup.html.escape", lambda said, quote=True: said)
    root, digest = hostile
    assert "script" in Reader(written(root / ".lichen", digest, tmp_path / "r.html")).elements


def test_rows_that_are_gone_are_said_to_be(tmp_path):
    rows = lives.pictures(tmp_path / "rows", ["a", "b"], "")
    text = lives.PICTURES.replace("SOURCE", str(rows))
    digest = lives.live(text, tmp_path / ".lichen").digest
    rows.rename(tmp_path / "elsewhere")
    text = from_the_command_line(tmp_path / ".lichen", digest, tmp_path / "r.html")
    assert "The rows are gone" in text and "<img" not in text
    assert set(SECTIONS) - set(sections(text)) == {"frontier", "ablation", "augmentation"}


@pytest.mark.slow
def test_thousands_of_large_rows_fit_into_five_megabytes(tmp_path):
    rows = lives.pictures(
        tmp_path / "rows", [f"class {n:02d}" for n in range(50)], "", per_label=24, side=128
    )
    text = lives.PICTURES.replace("SOURCE", str(rows)).replace("epochs: 1", "epochs: 1, image_size: 8")
    digest = lives.live(text, tmp_path / ".lichen", test=False).digest
    assert len(written(tmp_path / ".lichen", digest, tmp_path / "r.html").encode()) < 5e6


def test_only_recorded_models_have_a_report(tmp_path):
    from lichen.data import arrays

    data = arrays.arrays(
        lives.np.zeros((4, 1, 2, 2), "uint8"),
        lives.np.array([0, 1, 0, 1]),
        labels=["a", "b"],
        validation=0.0,
        test=0.0,
    )
    with pytest.raises(UsageError, match="recorded steps"):
        page.write(data, tmp_path / "r.html", Session(store=Store(tmp_path / ".lichen")))


def test_what_may_be_compressed_is_the_life_not_its_tokenizer(tmp_path):
    with li.opened(tmp_path / ".lichen") as session:
        read = li.texts(
            [f"{word} lichen {row}" for row in range(30) for word in ("old", "wet")], ["a", "b"] * 30
        )
        teller = li.prepare.bpe(read, size=270)
        model = li.pretrain.train(read, teller, net="bag", task="text_classification", epochs=1,
                                  optimizer="adamw", precision="float32")  # fmt: skip
        li.evaluate(model, read)
        text = page.write(model, tmp_path / "r.html", session).read_text()
    assert f"lichen compress {model.digest[:10]}" in text


@pytest.mark.browser
def test_a_browser_renders_it_without_complaint(digits, tmp_path):
    assert CHROMIUM, "chromium is not installed"
    written(*digits, tmp_path / "r.html")
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "r.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "CONSOLE" not in done.stderr and 'id="environment"' in done.stdout
