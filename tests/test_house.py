"""test_house: what the layout promises: captions, light imports, and one new file for one new thing."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src" / "lichen").rglob("*.py"))

STEP = '''"""soften: pull every weight towards zero."""

from lichen.core.array import Array
from lichen.core.model import Model
from lichen.core.schema import Fraction
from lichen.core.step import step


@step
def soften(model: Model, *, by: Fraction = 0.1) -> Model:
    """Scales weights.

    Args:
        by: the share that is taken away.
    """
    old = model.weights()
    return model.with_weights({n: Array.of((a.numpy() * (1 - by)).astype(a.dtype)) for n, a in old.items()})
'''
NET = '''"""sieve: a mean over pixels, then one layer."""

from torch import nn


class Sieve(nn.Module):
    def __init__(self, channels, num_outputs):
        super().__init__()
        self.head = nn.Linear(channels, num_outputs)

    def features(self, x_BCHW):
        return x_BCHW.mean((2, 3))

    def forward(self, x_BCHW):
        return self.head(self.features(x_BCHW))


def build(*, in_shape, num_outputs):
    return Sieve(in_shape[0], num_outputs)
'''


def run(*command, path=None, check=True, **more):
    environment = {**os.environ, "PYTHONPATH": str(path or ROOT / "src"), **more}
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
    )
    assert not check or done.returncode == 0, done.stderr + done.stdout
    return done


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_every_file_says_on_line_one_what_it_is(path):
    name = path.parent.name if path.name == "__init__.py" else path.stem
    assert path.read_text().startswith(f'"""{name}: ')
    assert path.stem not in {"utils", "common", "helpers", "misc", "base"}


LIGHT = {
    "import": "import lichen as li; li.step; li.load; li.pretrain.train; dir(li.compress); li.load.signature",
    "help": "from lichen.cli.main import parser; parser()",
    "recipe": "from lichen.core import flow, recipefile; flow.check(recipefile.read('recipes/digits.yaml'))",
}


@pytest.mark.parametrize("what", LIGHT)
def test_nothing_heavy_is_imported_before_a_step_runs(what):
    script = LIGHT[what] + "\nimport sys\nassert not {'torch', 'numpy', 'sklearn', 'PIL'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stderr


def test_a_planted_heavy_import_is_caught(tmp_path):
    shutil.copytree(ROOT / "src" / "lichen", tmp_path / "lichen")
    door = tmp_path / "lichen" / "core" / "value.py"
    door.write_text(door.read_text().replace("import html", "import html\nimport numpy"))
    done = run(
        "-c", LIGHT["help"] + "\nimport sys\nassert 'numpy' not in sys.modules", path=tmp_path, check=False
    )
    assert done.returncode != 0


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the package with one new step, net and task: three files added, nothing edited."""
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "src" / "lichen", folder / "lichen", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests" / "conformance", folder / "conformance")
    (folder / "lichen/steps/compress/soften.py").write_text(STEP)
    (folder / "lichen/nets/sieve.py").write_text(NET)
    task = (folder / "lichen/tasks/image_classification.py").read_text()
    task = re.sub(
        r'^"""image_classification: .*', '"""picture_sorting: which heap a picture belongs to.', task
    )
    (folder / "lichen/tasks/picture_sorting.py").write_text(
        task.replace('"image_classification"', '"picture_sorting"')
    )
    return folder


def test_command_line_and_schema_pick_new_files_up(extended):
    shown = json.loads(run("-m", "lichen", "steps", "--all", "--json", path=extended).stdout)
    assert {"compress.soften", "sieve", "picture_sorting"} <= {entry["address"] for entry in shown}
    one = json.loads(run("-m", "lichen", "steps", "compress.soften", "--json", path=extended).stdout)
    assert one["removal"] == "identity"
    assert "compress.soften" in run("-m", "lichen", "steps", "--schema", path=extended).stdout


def test_a_recipe_runs_with_new_files(extended, tmp_path):
    recipe = tmp_path / "new.yaml"
    recipe.write_text(
        "lichen: 1\ndata: digits\nsteps:\n"
        "  - pretrain.train: {net: sieve, task: picture_sorting, epochs: 1}\n"
        "  - compress.soften: {by: 0.5}\n"
    )
    done = run(
        "-m", "lichen", "run", str(recipe), "--json", "--store", str(tmp_path / ".lichen"), path=extended
    )
    assert [row["step"] for row in json.loads(done.stdout)["rows"]][-1] == "compress.soften"


def test_the_conformance_suites_pick_new_files_up(extended):
    done = run(
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        str(extended / "conformance"),
        "-k",
        "soften or sieve or picture_sorting",
        "--rootdir",
        str(extended),
        path=extended,
    )
    assert int(re.search(r"(\d+) passed", done.stdout + " 0 passed").group(1)) >= 14, done.stdout


@pytest.mark.slow
def test_the_conformance_suites_catch_a_planted_defect(extended, tmp_path):
    shutil.copytree(extended, tmp_path / "broken")
    net = tmp_path / "broken/lichen/nets/sieve.py"
    net.write_text(net.read_text().replace("x_BCHW.mean((2, 3))", "x_BCHW.mean((2, 3)) - x_BCHW.mean()"))
    done = run(
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        str(tmp_path / "broken/conformance/test_every_net.py"),
        "-k",
        "sieve",
        "--rootdir",
        str(tmp_path),
        path=tmp_path / "broken",
        check=False,
    )
    assert "test_answers_do_not_depend_on_the_rest_of_the_batch" in done.stdout


def test_generated_pages_and_the_editors_stub_are_current():
    done = run(str(ROOT / "docs" / "generate.py"), "--check", check=False)
    assert done.returncode == 0, done.stdout + "run `make docs`"


def test_the_command_line_knows_which_file_has_a_verb():
    """Only that file is imported; a study's verb is its file's name."""
    from lichen.cli.main import FAMILIES, _verbs_of

    for family, (_, words) in FAMILIES.items():
        assert family == "studies" or list(_verbs_of(family)) == words.split()
