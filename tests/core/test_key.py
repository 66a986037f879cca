"""Of everything that can change a result, no change is missed; of what cannot, nothing is computed again."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import garden as gardens
import numpy as np
import pytest
from garden import BASE, FILES, MODES, Bench, Call, a_dataset, a_model, places, rendered, with_options

from lichen.core import code, definition, imports, loaded, packages
from lichen.core.model import Model

CALLS = {
    "option int": with_options(epochs=2),
    "option float": with_options(rate=0.2),
    "option float, last digit": with_options(rate=0.10000000000000002),
    "option text": with_options(mode="b"),
    "option bool": with_options(fast=True),
    "option list": with_options(names=["a"]),
    "option list order": with_options(names=["b", "a"]),
    "option list order, other": with_options(names=["a", "b"]),
    "option list of text or number": with_options(sizes=[1]),
    "option list of lists' bounds": with_options(names=["a,b"]),
    "option mapping": with_options(extra={"a": {"b": 1}}),
    "option mapping, nested": with_options(extra={"a": {"b": 2}}),
    "option mapping, number or text": with_options(extra={"a": {"b": "1"}}),
    "option mapping, number or truth": with_options(extra={"a": {"b": True}}),
    "seed": with_options(seed=1),
    "net of the same file": with_options(net="plot.nets:large"),
    "net of another file": with_options(net="plot.other_nets:small"),
    "function option": with_options(reward="plot.rewards:other"),
    "function option, none": with_options(reward=None),
    "rows of train": replace(BASE, data=a_dataset(train=b"rowt")),
    "rows of validation": replace(BASE, data=a_dataset(validation=b"mors")),
    "no validation": replace(BASE, data=a_dataset(validation=None)),
    "rows swapped between splits": replace(BASE, data=a_dataset(train=b"more", validation=b"rows")),
    "schema of the rows": replace(BASE, data=a_dataset(schema={"labels": ["b", "a"]})),
    "augmentation": replace(BASE, data=a_dataset(policy=[{"op": "shift"}])),
    "augmentation's order": replace(BASE, data=a_dataset(policy=[{"op": "shift"}, {"op": "zoom"}])),
    "augmentation's other order": replace(BASE, data=a_dataset(policy=[{"op": "zoom"}, {"op": "shift"}])),
    "one bit of a weight": replace(BASE, model=a_model(np.nextafter(np.float32(1), np.float32(2)))),
    "sign of a zero weight": replace(BASE, model=a_model(-0.0)),
    "zero weight": replace(BASE, model=a_model(0.0)),
    "dtype of a weight": replace(BASE, model=a_model(dtype="float64")),
    "shape of a weight": replace(BASE, model=a_model(shape=(2, 1))),
    "option of an input's net": replace(BASE, model=a_model(options={"width": 2})),
    "net of an input": replace(BASE, model=a_model(net="plot.nets:small")),
    "asset of an input": replace(BASE, model=a_model(assets={"mean": [0.5]})),
    "part of an input": replace(BASE, model=a_model(part="body")),
    "optional input": replace(BASE, teacher=a_model()),
    "inputs swapped": replace(BASE, model=a_model(2.0), teacher=a_model(1.0)),
    "inputs swapped back": replace(BASE, model=a_model(1.0), teacher=a_model(2.0)),
}


def without(files: dict[str, str], path: str) -> dict[str, str]:
    return {name: text for name, text in files.items() if name != path}


def file_changes() -> dict[str, dict[str, str]]:
    base = rendered()
    fake = "site-packages/fakepack-1.0.dist-info/"
    return {
        "optional module gone": without(base, "plot/optional.py"),
        "import dropped": {
            **base,
            "plot/far_helper.py": base["plot/far_helper.py"].replace("farther(x) +", "x +"),
        },
        "new module behind a star": {
            **base,
            "plot/star_below.py": base["plot/star_below.py"] + "EXTRA = 1\n",
        },
        "module became a package": {
            **without(base, "flat.py"),
            "flat/__init__.py": base["flat.py"] + "MORE = 1\n",
        },
        "module shadowed": {**base, "plot/sub/inner/__init__.py": "def under(x):\n    return x\n"},
        "package's init appears": {**base, "plot/dotted/__init__.py": "BEFORE = 1\nAFTER = 1\n"},
        "distribution gone": {name: text for name, text in base.items() if not name.startswith(fake)},
        "other distribution": {
            **{
                name.replace("-1.0.", "-9.0."): text.replace("1.0", "9.0")
                for name, text in base.items()
                if name.startswith(fake)
            },
            **{name: text for name, text in base.items() if not name.startswith(fake)},
        },
        "decorator added": {
            **base,
            "plot/upward.py": "import functools\n\n\n@functools.cache\n" + base["plot/upward.py"],
        },
        "parameters swapped": {
            **base,
            "plot/helper.py": base["plot/helper.py"].replace("x * FACTOR", "FACTOR * x"),
        },
        "name of the used": {
            **base,
            "plot/scales.py": base["plot/scales.py"].replace("return x", "x += 1\n    return x"),
        },
    }


@pytest.fixture(params=MODES)
def bench(request, tmp_path, monkeypatch) -> Iterator[Bench]:
    monkeypatch.setattr(
        sys, "dont_write_bytecode", True
    )  # Python itself misses an edit of one length within a second
    one = Bench(tmp_path, request.param)
    yield one
    one.close()


def changes() -> dict[str, tuple[dict[str, str], Call]]:
    """Every change: the files and the call that it leaves."""
    base = rendered()
    found = {name: (rendered(name), BASE) for name in places()}
    found |= {name: (files, BASE) for name, files in file_changes().items()}
    return found | {name: (base, call) for name, call in CALLS.items()}


def stale(bench: Bench, changes: dict[str, tuple[dict[str, str], Call]]) -> list[str]:
    """Changes after which the store answered for another state, and restorations that were computed again."""
    base = rendered()
    base_key, was_grown = bench.call()
    assert was_grown
    seen, missed = {base_key: "the base"}, []
    for name, (files, call) in changes.items():
        bench.garden.write(files)
        key, was_grown = bench.call(call)
        if key in seen or not was_grown:
            missed.append(f"{name} like {seen.get(key)}")
        seen[key] = name
        bench.garden.write(base)
    back_key, was_grown = bench.call()
    return missed + (["the base again"] if back_key != base_key or was_grown else [])


@pytest.mark.parametrize("stride", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_no_change_among_200_is_missed_and_what_is_restored_is_found_again(bench, stride):
    every = changes()
    assert len(every) >= 200
    every = dict(list(every.items())[::stride])
    assert stale(bench, every) == []
    for name, (files, call) in list(every.items())[::10]:
        bench.garden.write(files)
        _, was_grown = bench.call(call)
        assert not was_grown, f"{name}, met a second time"


@pytest.mark.parametrize("looks_again", [True, False])
def test_what_was_gathered_before_a_change_is_not_used_after_it(bench, monkeypatch, looks_again):
    """Files that have lain still for a moment are gathered once, until one of them changes."""
    monkeypatch.setattr(code, "RACY_NS", 10_000_000)
    if not looks_again:
        monkeypatch.setattr(code._Walk, "still_holds", lambda self: True)
    code._walks.clear()
    base, seen, missed = rendered(), {}, []
    for name, (files, call) in list(changes().items())[::40]:
        bench.garden.write(base)
        time.sleep(0.03)
        bench.call()
        bench.garden.write(files)
        key, _ = bench.call(call)
        missed += [name] if seen.setdefault(key, name) != name else []
    code._walks.clear()
    assert (missed == []) == looks_again


DEFECTS: dict[str, tuple[Callable, list[str]]] = {
    "imports are not followed": (
        lambda patch: patch.setattr(imports, "of", lambda *args, **how: iter(())),
        ["second_helper_body", "third_helper_body", "deep_table", "helper_of_net"],
    ),
    "files are remembered by size": (
        lambda patch: patch.setattr(code.Memo, "source", _by_size),
        ["helper_body", "deep_table"],
    ),
    "versions are remembered": (
        lambda patch: patch.setattr(packages, "version_of", lambda top: "1"),
        ["package_version"],
    ),
    "inputs are not looked at": (
        lambda patch: patch.setattr(Model, "identity", lambda self, splits=None: "same"),
        ["one bit of a weight", "asset of an input"],
    ),
}


_sources: dict[tuple, code.Source] = {}


def _by_size(self, module, path):
    return _sources.setdefault((module, path.stat().st_size), code.parse(module, path))


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_bar_catches(defect, bench, monkeypatch):
    """That none of these changes is missed without the defect is asked of all 200 above."""
    plant, expected = DEFECTS[defect]
    every = changes()
    chosen = {name: every[name] for name in expected}
    _sources.clear()
    code._walks.clear()  # on a busy machine files have lain still for long enough to be known
    code.MEMO.entries.clear()
    with monkeypatch.context() as patch:
        plant(patch)
        missed = [text.partition(" like ")[0] for text in stale(bench, chosen)]
    code.MEMO.entries.clear()  # what was read with the defect is not for the tests that come
    assert set(missed) >= set(expected)


# edits that change nothing


def each_line(text: str, change: Callable[[str], str]) -> str:
    return "".join(change(line) for line in text.splitlines(keepends=True))


def in_all(change: Callable[[str], str], only: str = ".py") -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda files: {path: change(text) if path.endswith(only) else text for path, text in files.items()}


def in_one(path: str, change: Callable[[str], str]) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda files: {**files, path: change(files[path])}


def with_file(path: str, text: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda files: {**files, path: text}


def documented(text: str) -> str:
    """A docstring under every `def` and `class` of one line."""
    return re.sub(
        r"^( *)((?:def|class) [^\n]*:)\n(?!\s*\"\"\")", r'\1\2\n\1    """Said of it."""\n', text, flags=re.M
    )


HELPER, STEPS = "plot/helper.py", "plot/steps.py"
NO_OPS: dict[str, Callable[[dict[str, str]], dict[str, str]]] = {
    "comment at the top": in_all(lambda text: "# a word\n" + text),
    "comment at the end": in_all(lambda text: text + "# the end\n"),
    "comment after code": in_one(HELPER, lambda text: text.replace("FACTOR = 1", "FACTOR = 1  # why")),
    "comment on every line": in_one(
        "plot/tables.py" if False else HELPER,
        lambda text: each_line(text, lambda line: line.rstrip("\n") + "  # x\n" if line.strip() else line),
    ),
    "comment that looks like code": in_one(HELPER, lambda text: text + "# FACTOR = 2\n"),
    "shebang": in_one(STEPS, lambda text: "#!/usr/bin/env python\n" + text.lstrip("\n")),
    "encoding line": in_one(HELPER, lambda text: "# -*- coding: utf-8 -*-\n" + text),
    "type comment": in_one(HELPER, lambda text: text.replace("FACTOR = 1", "FACTOR = 1  # type: ignore")),
    "formatter's mark": in_one(STEPS, lambda text: text.replace("import flat\n", "import flat  # noqa\n")),
    "docstring of modules": in_all(lambda text: '"""What it is."""\n' + text),
    "docstring of modules, longer": in_all(lambda text: '"""What it is.\n\nAnd more.\n"""\n' + text),
    "docstrings of functions and classes": in_all(documented),
    "docstring of the step": in_one(
        STEPS, lambda text: text.replace("Everything above, at once.", "All.\n\n    Of it.")
    ),
    "no docstring of the step": in_one(
        STEPS, lambda text: text.replace('    """Everything above, at once."""\n', "")
    ),
    "docstring of a constant": in_one(
        HELPER, lambda text: text.replace("FACTOR = 1", 'FACTOR = 1\n"""A factor."""')
    ),
    "docstring of a class's constant": in_one(
        HELPER, lambda text: text.replace("SLOPE = 1", 'SLOPE = 1\n    "steep"')
    ),
    "docstring between statements": in_one(
        "plot/lazy.py", lambda text: text.replace("    return", '    "now"\n    return')
    ),
    "blank lines": in_all(lambda text: text.replace("\n\n", "\n\n\n\n")),
    "no blank lines": in_all(lambda text: re.sub(r"\n\n+", "\n", text)),
    "blank lines at the end": in_all(lambda text: text + "\n\n\n"),
    "blank lines at the start": in_all(lambda text: "\n\n\n" + text),
    "no newline at the end": in_all(lambda text: text.rstrip("\n")),
    "trailing spaces": in_one(HELPER, lambda text: each_line(text, lambda line: line.rstrip("\n") + "  \n")),
    "windows line ends": in_all(lambda text: text.replace("\n", "\r\n")),
    "byte order mark": in_one("plot/lazy.py", lambda text: "\ufeff" + text),
    "tabs": in_one(HELPER, lambda text: text.replace("    ", "\t")),
    "indentation of two": in_one(
        HELPER, lambda text: re.sub(r"^ +", lambda m: " " * (len(m[0]) // 2), text, flags=re.M)
    ),
    "other layout and quotes everywhere": in_all(lambda text: ast.unparse(ast.parse(text)) + "\n"),
    "wrapped in parentheses": in_one(
        "plot/lazy.py", lambda text: re.sub(r"return (.*)", r"return (\n        \1\n    )", text)
    ),
    "wrapped with a backslash": in_one(
        "plot/lazy.py", lambda text: text.replace("return ", "return \\\n        ")
    ),
    "wrapped list": in_one(
        "plot/deep/tables.py", lambda text: text.replace("[0, ", "[\n    0,\n    ").replace("}]", "},\n]")
    ),
    "trailing comma": in_one("plot/deep/tables.py", lambda text: text.replace("}]", ",}, ]")),
    "single quotes": in_one("plot/deep/tables.py", lambda text: text.replace('"', "'")),
    "triple quotes": in_one("plot/deep/tables.py", lambda text: text.replace('"a"', '"""a"""')),
    "raw string": in_one("plot/deep/tables.py", lambda text: text.replace('"a"', 'r"a"')),
    "escaped letter": in_one("plot/deep/tables.py", lambda text: text.replace('"a"', '"\\x61"')),
    "joined strings": in_one("plot/deep/tables.py", lambda text: text.replace('"a"', '"" "a"')),
    "number in hexadecimal": in_one("plot/deep/tables.py", lambda text: text.replace('"a": 1', '"a": 0x1')),
    "number with zeros": in_one(STEPS, lambda text: text.replace("FLOAT = 0.5", "FLOAT = 0.500")),
    "number in exponents": in_one(STEPS, lambda text: text.replace("FLOAT = 0.5", "FLOAT = 5e-1")),
    "number with underscore": in_one(STEPS, lambda text: text.replace("y > 1000", "y > 1_000")),
    "superfluous parentheses": in_one(HELPER, lambda text: text.replace("FACTOR = 1", "FACTOR = (1)")),
    "semicolons": in_one(HELPER, lambda text: text.replace("FACTOR = 1\n", "FACTOR = 1;\n")),
    "body on one line": in_one("plot/lazy.py", lambda text: text.replace(":\n    return", ": return")),
    "superfluous pass": in_one(
        "plot/lazy.py", lambda text: text.replace("    return", "    pass\n    return")
    ),
    "spaces around operators": in_one(HELPER, lambda text: text.replace("x * FACTOR", "x*FACTOR")),
    "import in parentheses": in_one(
        STEPS,
        lambda text: text.replace(
            "import Warm, cold as chilly, warm", "import (\n    Warm,\n    cold as chilly,\n    warm,\n)"
        ),
    ),
    "unrelated module changed": in_one("unrelated.py", lambda text: text.replace("x", "y")),
    "unrelated module in the package": with_file("plot/zeta.py", "BROKEN = 1 +\n"),
    "unrelated package": with_file(
        "site-packages/otherpack-2.0.dist-info/METADATA", "Name: otherpack\nVersion: 2.0\n"
    ),
    "unrelated data file": with_file("plot/notes.txt", "hello"),
    "stale bytecode": with_file("plot/__pycache__/helper.cpython-99.pyc", "nonsense"),
    "type stub": with_file("plot/helper.pyi", "def warm(x: int) -> int: ...\n"),
}


def of_the_world() -> dict[str, Callable[[Bench, Path], Call | dict | None]]:
    def touched(bench, folder):
        for path in bench.garden.folder.rglob("*.py"):
            os.utime(path, ns=(1, 1))

    def rewritten(bench, folder):
        files, bench.garden.written = bench.garden.written, {}
        bench.garden.write(files)

    def with_bytecode(bench, folder):
        sys.dont_write_bytecode = False
        bench.garden.grow("module")
        assert list(bench.garden.folder.rglob("*.pyc"))

    def without_bytecode(bench, folder):
        for path in bench.garden.folder.rglob("*.pyc"):
            path.unlink()

    def elsewhere(bench, folder):
        folder.mkdir()
        os.chdir(folder)

    def permissions(bench, folder):
        for path in bench.garden.folder.rglob("*.py"):
            path.chmod(0o600)

    return {
        "files touched": touched,
        "files written again": rewritten,
        "bytecode written": with_bytecode,
        "bytecode removed": without_bytecode,
        "package moved": lambda bench, folder: bench.garden.move(folder / "moved"),
        "other working folder": elsewhere,
        "permissions": permissions,
        "unrelated folder on the path": lambda bench, folder: sys.path.insert(0, str(folder)),
        "environment variable": lambda bench, folder: os.environ.update(LICHEN_NOTHING="1"),
        "option given at its default": lambda bench, folder: with_options(epochs=1, mode="a"),
        "whole number for a float": lambda bench, folder: with_options(rate=0.1, epochs=1.0),
        "rows of test": lambda bench, folder: replace(BASE, data=a_dataset(test=b"other")),
        "no test": lambda bench, folder: replace(BASE, data=a_dataset(test=None)),
        "an equal model built again": lambda bench, folder: replace(BASE, model=a_model()),
        "unrelated names before": lambda bench, folder: {"before": "x = object()\nthing = open\ny = [x]\n"},
    }  # fmt: skip


@pytest.mark.slow
def test_of_50_edits_that_change_nothing_none_is_computed_again(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("LICHEN_NOTHING", "0")
    base_key, _ = bench.call()
    world = of_the_world()
    assert len(NO_OPS) + len(world) >= 50
    recomputed = []
    for name, change in NO_OPS.items():
        files = change(rendered())
        assert files != rendered(), name
        bench.garden.write(files)
        key, was_grown = bench.call()
        recomputed += [name] * (was_grown or key != base_key)
        bench.garden.write(rendered())
    for number, (name, change) in enumerate(world.items()):
        how = change(bench, tmp_path / f"world{number}")
        key, was_grown = bench.call(how) if isinstance(how, Call) else bench.call(**how or {})
        recomputed += [name] * (was_grown or key != base_key)
    assert recomputed == []


def test_a_check_of_no_ops_catches_keys_over_bytes(bench, monkeypatch):
    for name in ("_met", "_outdated"):  # what is met under a planted reading is met again after it
        monkeypatch.setattr(loaded, name, dict(getattr(loaded, name)))
    monkeypatch.setattr(
        code, "parse", lambda module, path: code.Source(hashlib.sha256(path.read_bytes()).hexdigest(), ())
    )
    if bench.mode == "session":
        monkeypatch.setattr(code, "normal", lambda tree: ast.dump(tree, include_attributes=True))
    base_key, _ = bench.call()
    bench.garden.write(NO_OPS["comment at the top"](rendered()))
    assert bench.call()[0] != base_key


# a process that lives long


@pytest.mark.parametrize("bench", ["module"], indirect=True)  # a cell is run anew or not at all
def test_an_edit_without_reload_keeps_the_key_of_the_code_that_runs(bench):
    base_key, _ = bench.call()
    grow = sys.modules["plot.steps"].grow
    bench.garden.write(rendered("helper_body"))
    value = grow(BASE.data, BASE.model, **BASE.options)
    assert value.made.call.key == base_key
    assert loaded.outdated() == ["plot.helper"]
    changed_key, was_grown = bench.call()  # imported anew
    assert changed_key != base_key and was_grown
    assert loaded.outdated() == []


@pytest.mark.parametrize("bench", ["module"], indirect=True)  # of a session: in test_capture
def test_a_name_imported_from_a_module_that_was_reloaded_alone_is_refused(bench):
    import importlib

    from lichen.core.errors import UnkeyableError

    bench.call()
    grow = sys.modules["plot.steps"].grow
    bench.garden.write(rendered("helper_body"))
    importlib.reload(sys.modules["plot.helper"])
    with pytest.raises(UnkeyableError, match=r"`plot.steps` still holds the `\w+` from before `plot.helper`"):
        grow(BASE.data, BASE.model, **BASE.options)
    importlib.reload(sys.modules["plot.steps"])
    new = sys.modules["plot.steps"].grow(BASE.data, BASE.model, **BASE.options).made.call.key
    assert grow(BASE.data, BASE.model, **BASE.options).made.call.key == new, (
        "an old handle runs the newest step"
    )


def test_an_edit_before_a_module_is_first_met_is_refused(bench):
    import importlib

    from lichen.core.errors import UnkeyableError

    bench.garden.forget()
    flat = importlib.import_module("flat")
    bench.garden.write(rendered("top_level_module"))
    with pytest.raises(UnkeyableError, match="`flat` changed after it was imported"):
        code.closure([flat.__name__])


def test_a_module_that_appears_behind_an_unchanged_import_is_seen(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "seedling"
    package.mkdir()
    (package / "__init__.py").write_text("leaf = 1\n")
    user = tmp_path / "uses_seedling.py"
    user.write_text("from seedling import leaf\n")
    os.utime(user, ns=(1, 1))
    monkeypatch.setattr(code, "RACY_NS", -(2**62))  # everything is remembered at once
    code.closure(["uses_seedling"])
    (package / "__init__.py").write_text("")
    (package / "leaf.py").write_text("X = 1\n")
    assert "seedling.leaf" in code.closure(["uses_seedling"]).modules


def test_what_was_remembered_of_a_file_changed_within_a_clock_tick_is_not_used(tmp_path):
    path = tmp_path / "quick.py"
    memo = code.Memo()
    path.write_text("X = 1\n")
    first = memo.source("quick", path)
    stat = path.stat()
    path.write_text("X = 2\n")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert memo.source("quick", path).digest != first.digest
    assert memo.entries == {}


def test_what_another_python_remembered_is_not_used(tmp_path, monkeypatch):
    memo = code.Memo(path=tmp_path / "code.json", entries={"x": [1]}, is_dirty=True)
    memo.save()
    other = code.Memo()
    monkeypatch.setattr(code, "READING", "1.2.7")
    other.open(tmp_path / "code.json")
    assert other.entries == {}


def test_lichen_counts_by_its_source_also_when_pip_installed_it(monkeypatch):
    path = Path("/usr/lib/python3/site-packages/lichen/steps/compress/prune.py")
    assert not code.is_installed("lichen.steps.compress.prune", path)
    assert code.is_installed("lichenous", path)


def test_core_is_in_no_key_but_format_is(monkeypatch):
    from lichen.core import key

    assert not any(name.startswith("lichen.core") for name in code.closure(["lichen.studies.ablate"]).modules)
    one = key.Key(step="s", code=code.Code({}, {}), options={}, inputs={}, sources={}, places={})
    before = one.digest
    monkeypatch.setattr(key, "FORMAT", 2)
    assert one.digest != before


def test_a_module_that_imports_by_a_computed_name_is_refused_or_counts_whole(tmp_path, monkeypatch):
    from lichen.core.errors import UnkeyableError

    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "plugs").mkdir()
    text = "import importlib\n\ndef get(name):\n    return importlib.import_module(name)\n"
    for path in ("alone.py", "plugs/__init__.py"):
        (tmp_path / path).write_text(text)
    (tmp_path / "plugs" / "one.py").write_text("X = 1\n")
    with pytest.raises(UnkeyableError, match="not written out"):
        code.closure(["alone"])
    assert "plugs.one" in code.closure(["plugs"]).modules


def test_a_function_counts_the_same_by_address_and_in_person(bench):
    base_key, _ = bench.call()
    if bench.mode == "module":
        reward = __import__("plot.rewards").rewards.reward
        value = sys.modules["plot.steps"].grow(BASE.data, BASE.model, reward=reward)
        assert value.made.call.key == base_key
        assert value.made.call.options["reward"] == "plot.rewards:reward"


def test_every_place_of_the_garden_is_marked_once():
    assert len(places()) == len(set(places()))
    assert all(gardens.MARK.search(text) is None for text in rendered().values())
    for path, text in rendered().items():
        if path.endswith(".py"):
            ast.parse(text)
    assert definition and FILES
