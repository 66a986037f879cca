"""test_docs: every code block of README and docs runs, and every recipe shipped is valid."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lichen.core import flow, recipefile, signature
from lichen.core.door import FACES, VERBS
from lichen.core.errors import OptionError

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WITH_PYTHON = [page for page in PAGES if "```python" in page.read_text()]
RUN = [pytest.param(page, marks=[pytest.mark.slow] * (page.name != "README.md"), id=page.name)
       for page in WITH_PYTHON]  # fmt: skip


def blocks(page):
    """The Python of a page, one block after the other."""
    return "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.S))


def misused(source):
    """What a page calls of lichen that is not there, or with options that are refused."""
    found = []
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call) or not ast.unparse(call.func).startswith("li."):
            continue
        name = ast.unparse(call.func).removeprefix("li.")
        shelf, address = (
            ("studies", name[8:]) if name.startswith("studies.") else ("steps", VERBS.get(name, name))
        )
        if name not in FACES:
            found += [f"{name}: {said}" for said in refusals(signature.of(shelf, address), call.keywords)]
    return found


def refusals(read, keywords):
    for given in keywords:
        if given.arg not in read.options:
            yield f"no option {given.arg}"
            continue
        try:
            read.options[given.arg].check(ast.literal_eval(given.value))
        except OptionError as error:
            yield str(error)
        except ValueError:
            pass  # what it is shows when the page runs


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_python_blocks_call_what_is_there_with_options_that_it_takes(page):
    assert misused(blocks(page)) == []


def test_a_planted_wrong_option_in_a_block_is_caught():
    assert misused("li.pretrain.train(data, epoch=2)") == ["pretrain.train: no option epoch"]
    assert "rank" in misused("li.adapt.instruct(model, data, rank=0)")[0]


@pytest.mark.parametrize("page", RUN)
def test_python_blocks_run_in_order(page, tmp_path):
    script = tmp_path / "page.py"
    script.write_text(blocks(page))
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_shown_exist(page):
    from lichen.cli.main import verbs

    for block in re.findall(r"```sh\n(.*?)```", page.read_text(), flags=re.S):
        for word in re.findall(r"^lichen ([a-z]+)", block, flags=re.M):
            assert word in verbs()
        for target in re.findall(r"^make (\S+)", block, flags=re.M):
            assert f"\n{target}:" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


def test_decisions_are_numbered_one_by_one():
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs" / "decisions").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_recipes_are_valid(path):
    flow.check(recipefile.read(path))


def test_the_readmes_recipe_is_the_shipped_one():
    shown = re.search(
        r"```yaml\n# recipes/digits.yaml\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S
    )[1]
    shipped = re.sub("^#.*\n", "", (ROOT / "recipes/digits.yaml").read_text())
    assert recipefile.parse(shown, "digits.yaml").lines == recipefile.parse(shipped, "digits.yaml").lines
