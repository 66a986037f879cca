"""A signature read off the syntax says what Python says, and refuses what the vocabulary does not have."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
import toy

from lichen.core import find, signature, step
from lichen.core.errors import NotFoundError, OptionError
from lichen.core.schema import ALIASES, Range, _within

STUDIES = Path(find.source_of("lichen.studies.ablate")).parent
STEPS = [thing for thing in vars(toy).values() if isinstance(thing, step.Step)]


def read(text: str):
    return signature.read(
        ast.parse(text).body[0], address="m:s", records={"Pair": {"a": "Model", "b": "Dataset"}}
    )


@pytest.mark.parametrize("one", STEPS, ids=lambda one: one.address)
def test_the_syntax_says_what_inspect_says(one):
    said, told = one.signature, inspect.signature(one.fn)
    values = [p for p in told.parameters.values() if p.kind is not p.KEYWORD_ONLY]
    options = [p for p in told.parameters.values() if p.kind is p.KEYWORD_ONLY and p.name != "run"]
    assert [taken.name for taken in said.values] == [p.name for p in values]
    assert [taken.may_be_none for taken in said.values] == [p.default is None for p in values]
    assert list(said.options) == [p.name for p in options]
    for p in options:
        assert said.options[p.name].is_required == (p.default is p.empty)
        assert said.options[p.name].default == (None if p.default is p.empty else p.default)
    assert said.wants_run == ("run" in told.parameters)
    kinds = said.returns or (told.return_annotation.split(".")[-1],)
    assert " | ".join(kinds) == told.return_annotation.split(".")[-1]


def test_registered_and_read_from_the_file_are_one():
    for one in STEPS:
        path = find.source_of("toy")
        from_file = signature._of_file(path.read_bytes(), path.name, one.address)
        assert from_file.options == one.signature.options
        assert from_file.values == one.signature.values
        assert from_file.returns == one.signature.returns
        assert from_file.fields == one.signature.fields
        assert from_file.without == one.signature.without


def test_every_word_of_the_vocabulary_is_read():
    words = ", ".join(f"{name.lower()}_: {name}" for name in ALIASES)
    said = read(
        f"def s(data: Dataset, *, {words}, "
        "a: int | None = None, b: list[str] = [], c: Literal['x', 'y'] = 'x', "
        "d: Annotated[int, Range(1, 9)] = 2, e: Annotated[float, Range(low=0.0)] = 0.5, "
        "f: dict[str, int] = {}, "
        "g: list[dict] | None = None, h: li.Count = 3, run: li.Run) -> Model: ..."
    )
    assert {name: said.options[f"{name.lower()}_"].kind for name in ALIASES} == {
        n: k for n, (k, _) in ALIASES.items()
    }
    assert said.options["a"].may_be_none and said.options["b"].is_list
    assert said.options["c"].choices == ("x", "y")
    assert said.options["d"].bounds == Range(1, 9) and said.options["e"].bounds == Range(0.0, None)
    assert said.options["h"].kind == "int" and said.wants_run and "run" not in said.options


@pytest.mark.parametrize(("text", "said"), [
    ("def s(data: Dataset, *, n: Countt = 1) -> Model: ...", "did you mean `Count`"),
    ("def s(data: Dataset, *, n: set = 1) -> Model: ...", "annotation `set`"),
    ("def s(data: Dataset, *, n: tuple[int, int] = 1) -> Model: ...", "annotation `tuple\\[int, int\\]`"),
    ("def s(data: Dataset, *, n=1) -> Model: ...", "`n` of step `m:s` needs an annotation"),
    ("def s(data: Dataset, *, n: int = 1 + K) -> Model: ...",
     "default of `n` of step `m:s` must be a literal"),
    ("def s(n: int, *, m: int = 1) -> Model: ...", "`n` of step `m:s` stands before"),
    ("def s(data, *, m: int = 1) -> Model: ...", "`data` of step `m:s` stands before"),
    ("def s(data: Dataset, **more) -> Model: ...", "no \\*args or \\*\\*kwargs"),
    ("def s(*data: Dataset) -> Model: ...", "no \\*args or \\*\\*kwargs"),
])  # fmt: skip
def test_what_leaves_the_vocabulary_is_refused_by_name(text, said):
    with pytest.raises(OptionError, match=said):
        read(text)


def test_positional_only_values_and_records_are_read():
    said = read("def s(data: Dataset, model: Model | Program | None = None, /, *, n: int = 1) -> Pair: ...")
    assert [taken.kinds for taken in said.values] == [("Dataset",), ("Model", "Program")]
    assert said.values[1].may_be_none and not said.values[0].may_be_none
    assert said.fields == {"a": "Model", "b": "Dataset"} and said.returns == ()


def test_marks_of_the_decorator_are_read():
    said = read(
        "@li.step(splits='split', without={'share': 0.0})\n"
        "def s(data: Dataset, *, split: str = 'test') -> Model: ..."
    )
    assert said.opens({"split": "test"}) == ("test",)
    assert said.removal() == {"share": 0.0}
    assert read("def s(model: Model) -> Model: ...").removal() == "identity"
    assert read("def s(data: Dataset) -> Model: ...").removal() is None


@pytest.mark.parametrize(("options", "said"), [
    ({"rat": 1.0}, "unknown option `rat` of `toy:fit`\nhint: did you mean `rate`"),
    ({"rate": -1.0}, "option `rate` must be a number >= 0, not -1.0"),
    ({"rate": "1"}, "option `rate` must be a number >= 0, not '1'"),
    ({"rate": float("nan")}, "option `rate` must be"),
    ({"rate": float("inf")}, "option `rate` must be"),
    ({"rate": True}, "option `rate` must be"),
    ({"rate": None}, "option `rate` must be a number >= 0, not empty"),
    ({"seed": 1.5}, "option `seed` must be a whole number"),
    ({"seed": float("inf")}, "option `seed` must be a whole number"),
    ({"seed": 2**31}, "from 0 to"),
    ({"mode": 1}, "option `mode` must be a text, not 1"),
])  # fmt: skip
def test_a_wrong_option_is_refused_with_what_must_hold(options, said):
    with pytest.raises(OptionError) as caught:
        toy.fit.signature.check(options)
    assert said in str(caught.value)


def test_options_come_in_one_canonical_form():
    assert toy.fit.signature.check({"rate": 2, "seed": 3.0}) == {"rate": 2.0, "mode": "plain", "seed": 3}
    assert type(toy.fit.signature.check({"rate": 2})["rate"]) is float
    assert toy.tune.signature.check({"notes": ("a",)})["notes"] == ["a"]
    choice = read("def s(*, c: Literal['fast', 'slow'] = 'fast') -> Model: ...")
    with pytest.raises(OptionError, match="one of fast, slow, not 'fats'") as caught:
        choice.check({"c": "fats"})
    assert caught.value.hint == "did you mean `fast`?"


@pytest.mark.parametrize("thing", [{1: 2}, {"a": object()}, {"a": float("nan")}, {"a": {"b": {1, 2}}}])
def test_a_mapping_that_json_cannot_say_is_refused(thing):
    with pytest.raises(OptionError, match="must be a mapping"):
        read("def s(*, extra: dict = {}) -> Model: ...").check({"extra": thing})


def test_an_unknown_step_is_refused_with_the_nearest():
    for word in ("compress.prun", "prune"):
        with pytest.raises(NotFoundError) as caught:
            signature.of("steps", word)
        assert caught.value.hint == "did you mean `compress.prune`?"
    with pytest.raises(NotFoundError, match="module `toys` does not exist"):
        signature.of("steps", "toys:fit")
    with pytest.raises(NotFoundError, match="must define a function `fits`"):
        signature.of("steps", "toy:fits")


def test_an_edited_file_is_read_anew_even_with_its_old_time_stamp(tmp_path, monkeypatch):
    import os

    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "edited.py"
    for bound in (1, 2):
        path.write_text(f"def s(*, n: Annotated[int, Range({bound}, 9)] = 5) -> Model: ...\n")
        os.utime(path, ns=(1, 1))
        assert signature.of("steps", "edited:s").options["n"].bounds == Range(bound, 9)


def test_a_step_that_does_not_say_what_it_returns_is_refused():
    import lichen as li

    def nothing(model: li.Model):
        return model

    with pytest.raises(OptionError, match="must say what it returns"):
        li.step(nothing)


def test_bounds_are_inclusive():
    assert (
        _within(1, Range(1, 2))
        and _within(2, Range(1, 2))
        and not _within(3, Range(1, 2))
        and _within(-9, Range(None, 2))
    )


@pytest.mark.parametrize("study", [path.stem for path in sorted(STUDIES.glob("[!_]*.py"))])
def test_no_study_takes_a_level_that_is_none(study):
    """200 % is no confidence; neither is 0 %, nor all of it."""
    told = signature.of("studies", study)
    for level in (2.0, 1.0, 0.0) if "level" in told.options else ():
        with pytest.raises(OptionError, match="option `level` must be a number from"):
            told.options["level"].check(level)
