"""A recipe says where it is wrong, and what is right; reading what was written gives the same recipe."""

from __future__ import annotations

import random
import string

import pytest
import toy

from lichen.core import recipe, recipefile
from lichen.core.errors import LichenError, OptionError, RecipeError, UnsafeInputError
from lichen.core.flow import check
from lichen.core.override import override
from lichen.core.recipe import Line, Recipe
from lichen.core.recipefile import dump, parse

assert toy


def said(text: str) -> str:
    with pytest.raises(LichenError) as caught:
        check(parse(text, "r.yaml"))
    return str(caught.value)


HEAD = "lichen: 1\nsteps:\n"


@pytest.mark.parametrize(("text", "expected"), [
    ("", "the recipe is empty\n  --> r.yaml"),
    ("steps: []", "a recipe begins with `lichen: 1`, and it is missing\n  --> r.yaml:1"),
    ("lichen: 2\nsteps: []", "a recipe begins with `lichen: 1`, not 2\n  --> r.yaml:1"),
    ("- a", "a recipe must be a mapping\n  --> r.yaml:1"),
    ("lichen: 1\nstesp: []", "unknown key `stesp` of a recipe\n  --> r.yaml:2\nhint: did you mean `steps`?"),
    ("lichen: 1\nsteps: {}", "`steps` must be a list\n  --> r.yaml:2"),
    ("lichen: 1\nsteps: []\nsteps: []", "`steps` stands twice in a recipe\n  --> r.yaml:3"),
    ("lichen: 1\ndata: 7", "`data` is a source or a mapping of options of prepare.load\n  --> r.yaml:2"),
    ("lichen: 1\ndata: [", "this is not YAML"),
    ("lichen: 1\ndata: {source: digits, sorce: 1}", "unknown option `sorce` of step `prepare.load`"),
    (HEAD + "  - 7: {}\n", "unknown step `7`\n  --> r.yaml:3"),
    (HEAD + "  - prepare.lod\n",
     "unknown step `prepare.lod`\n  --> r.yaml:3\nhint: did you mean `prepare.load`?"),
    (HEAD + "  - toy:rows: {}\n    toy:fit: {}\n",
     "a step is one name with its options, and perhaps `as:`\n  --> r.yaml:3"),
    (HEAD + "  - toy:rows: [1]\n", "the options of `toy:rows` must be a mapping\n  --> r.yaml:3"),
    (HEAD + "  - toy:rows: {sed: 1}\n",
     "unknown option `sed` of step `toy:rows`\n  --> r.yaml:3\nhint: did you mean `seed`?"),
    (HEAD + "  - toy:rows: {}\n  - toy:fit:\n      mode: a\n      rte: 1\n",
     "unknown option `rte` of step `toy:fit`\n  --> r.yaml:6\nhint: did you mean `rate`?"),
    (HEAD + "  - toy:rows:\n      seed: 1\n      length: 0\n",
     "option `length` must be a whole number >= 1, not 0 (step `toy:rows`)\n  --> r.yaml:5"),
    (HEAD + "  - toy:rows: {seed: 1, seed: 2}\n", "`seed` stands twice"),
    (HEAD + "  - toy:fit: {}\n",
     "`toy:fit` needs a Dataset for `data` and the life has none here\n  --> r.yaml:3"),
    (HEAD + "  - toy:rows\n  - toy:fit\n  - toy:freeze\n  - toy:tune: {times: 2}\n",
     "`toy:tune` takes a Model for `model`, not a Program: a step before it returned one\n  --> r.yaml:6\n"
     "hint: move it before that step, or give it `$name`"),
    (HEAD + "  - toy:rows: {as: a}\n  - toy:fit:\n      data: $a\n  - toy:tune:\n      model: $a\n",
     "`toy:tune` takes a Model for `model`, not a Dataset: `$a` is one\n  --> r.yaml:7"),
    (HEAD + "  - toy:rows: {as: a}\n  - toy:rows: {as: a}\n", "`as: a` stands twice\n  --> r.yaml:4"),
    (HEAD + "  - toy:draw\n  - toy:split: {as: two}\n  - toy:tune: {model: $two.lft}\n",
     "`$two` has no field `lft`\n  --> r.yaml:5\nhint: did you mean `left`?"),
    (HEAD + "  - toy:draw\n  - toy:split: {as: two}\n  - toy:merge: {other: $two}\n",
     "`$two` needs one of its fields"),
    (HEAD + "  - toy:rows\n  - toy:fit: {data: digits}\n",
     "`data` of `toy:fit` is a value: give it as `$name`"),
    ("lichen: 1\nsteps: []\nstudies:\n  - abalte: {}\n",
     "unknown study `abalte`\n  --> r.yaml:4\nhint: did you mean `ablate`?"),
    ("lichen: 1\nsteps: []\nstudies:\n  - ablate: {seedss: 1}\n", "unknown option `seedss`"),
    (HEAD + "  - toy:rows: {as: a}\nstudies:\n  - beside: {first: $a}\n",
     "`beside` needs a value for `second`\n  --> r.yaml:5\nhint: second: $name"),
    (HEAD + "  - toy:draw\n  - toy:split: {as: two}\nstudies:\n  - beside: {second: $two.lft}\n",
     "`$two` has no field `lft`\n  --> r.yaml:6\nhint: did you mean `left`?"),
    ("lichen: 1\nname: !!python/object/apply:os.system [ls]\n",
     "tags are not allowed in a recipe\n  --> r.yaml:2"),
    ("lichen: 1\nname: !own x\n", "tags are not allowed in a recipe\n  --> r.yaml:2"),
    ("lichen: 1\nsteps: &a []\n", "anchors and aliases are not allowed in a recipe\n  --> r.yaml:2"),
    ("a: &a [x]\nb: [*a, *a]\n", "anchors and aliases are not allowed in a recipe\n  --> r.yaml:1"),
    ("lichen: 1\ndata: 2001-13-45\n", "this cannot be read"),
    ("lichen: 1\nsteps: [" + "[" * 3000, "this is not YAML"),
    ("lichen: 1\nname: \x07", "this is not YAML"),
])  # fmt: skip
def test_an_error_says_what_where_and_what_would_be_right(text, expected):
    assert said(text).startswith(expected)


def test_a_file_of_more_than_64_kb_or_of_other_bytes_is_refused(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("lichen: 1\n#" + "x" * (1 << 20))
    with pytest.raises(UnsafeInputError, match="at most 64 kB"):
        recipefile.read(path)
    path.write_bytes(b"lichen: 1\nname: \xff\n")
    with pytest.raises(RecipeError, match="UTF-8"):
        recipefile.read(path)


def test_nothing_that_is_typed_into_a_recipe_gets_past_as_another_error():
    words = [
        "lichen: 1\n",
        "steps:\n",
        "  - toy:fit",
        ": {",
        "rate: ",
        "$a",
        "}",
        "[",
        "]",
        "as: ",
        "\n",
        "- ",
        "data: ",
        "!x ",
        "&a ",
        "*a ",
        "~",
        ".nan",
        "? ",
        "<<: ",
        "{",
        "2001-13-45",
        "0o9",
        "'",
        '"',
        "|",
        ">",
        "%YAML",
        "---\n",
        "...",
    ]
    generator = random.Random(0)
    for _ in range(1500):
        text = "lichen: 1\n" * generator.randint(0, 1) + "".join(
            generator.choices(words, k=generator.randint(1, 12))
        )
        try:
            check(parse(text, "r.yaml"))
        except LichenError as error:
            assert error.exit_code in (2, 3, 4)


def test_types_flow_through_records_and_labels():
    text = (
        HEAD
        + """
  - toy:rows: {as: first}
  - toy:fit: {}
    as: base
  - toy:learn: {as: learnt}
  - toy:tune: {}
  - toy:merge: {other: $learnt.model, third: $base}
  - toy:blend: {other: $learnt.memory}
  - toy:freeze: {}
  - toy:weigh: {as: scores}
  - toy:heed: {model: $base, scores: $scores}
"""
    )
    assert [one.address for one in check(parse(text))] == [
        "toy:rows",
        "toy:fit",
        "toy:learn",
        "toy:tune",
        "toy:merge",
        "toy:blend",
        "toy:freeze",
        "toy:weigh",
        "toy:heed",
    ]


def test_a_text_option_may_begin_with_a_dollar(session):
    from lichen.core import life

    read = parse(HEAD + "  - toy:rows\n  - toy:fit: {mode: $5}\n")
    check(read)
    made = life.run(read, session).current["model"].made
    assert made.call.options["mode"] == "$5"


def test_overrides_reach_by_label_short_name_and_address():
    text = HEAD + "  - toy:rows: {as: a}\n  - toy:rows: {as: b}\n  - toy:fit: {}\n"
    read = override(parse(text), ["a.seed=3", "toy:rows.length=5", "fit.rate=2", "name=other", "fit.data=$b"])
    assert [line.options for line in read.lines] == [{"seed": 3, "length": 5}, {"length": 5}, {"rate": 2}]
    assert read.lines[2].values == {"data": "$b"} and read.name == "other"
    check(read)
    assert override(parse("lichen: 1\ndata: x\n"), ["data=y"]).lines[0].options == {"source": "y"}


@pytest.mark.parametrize(("change", "expected"), [
    ("fit.rate", "must be `key=value`"), ("rate=1", "`rate` must name a step and its option"),
    ("fitt.rate=1", "no step `fitt` to set `rate` of"), ("fit.rate=[", "cannot be read"),
    ("fit.rate=2001-13-45", "cannot be read"),
])  # fmt: skip
def test_a_wrong_override_is_refused(change, expected):
    with pytest.raises(OptionError, match=expected):
        override(parse(HEAD + "  - toy:rows\n  - toy:fit\n"), [change])


def test_an_unknown_option_of_an_override_is_refused_with_its_step():
    with pytest.raises(RecipeError, match="unknown option `rat` of step `toy:fit`") as caught:
        check(override(parse(HEAD + "  - toy:rows\n  - toy:fit\n", "r.yaml"), ["fit.rat=1"]))
    assert caught.value.where == "fit.rat=1", "it was typed there, not in the file"


def a_recipe(generator: random.Random) -> Recipe:
    def thing(depth=0):
        kinds = ["text", "int", "float", "bool", "none"] + ["list", "dict"] * (depth < 3)
        kind = generator.choice(kinds)
        if kind == "text":
            return "".join(
                generator.choices(
                    string.printable.replace("\x0b", "").replace("\x0c", "") + "äß🌿:#-&*!",
                    k=generator.randint(0, 9),
                )
            )
        if kind == "list":
            return [thing(depth + 1) for _ in range(generator.randint(0, 3))]
        if kind == "dict":
            return {f"k{i}": thing(depth + 1) for i in range(generator.randint(0, 3))}
        return {
            "int": generator.randint(-9, 10**12),
            "float": generator.uniform(-1, 1),
            "bool": True,
            "none": None,
        }[kind]

    def line(number):
        options = {
            f"option{i}": given
            for i in range(generator.randint(0, 4))
            if not recipe.is_reference(given := thing())
        }
        values = {f"value{i}": f"$name{i}.field" for i in range(generator.randint(0, 2))}
        label = generator.choice([None, "label", "true", "7", "null"])
        return Line(
            step=generator.choice(["prepare.load", "prepare.environment", "toy:fit", "a.b"]),
            options=options,
            values=values,
            label=label,
        )

    def head(step, only):
        return Line(
            step=step,
            options={only: "x y", **generator.choice([{}, {"a": thing()}])},
            label=generator.choice([None, "first"]),
        )

    lines = [
        *(head(*one) for one in recipe.HEADS.values() if generator.random() < 0.5),
        *(line(i) for i in range(generator.randint(0, 5))),
    ]
    return Recipe(
        name=generator.choice(["life", "7", "true", "ö"]),
        lines=tuple(lines),
        studies=tuple(line(i) for i in range(2)),
    )


def bare(read: Recipe) -> tuple:
    def lines(them):
        return [(line.step, dict(line.options), dict(line.values), line.label) for line in them]

    return read.name, lines(read.lines), lines(read.studies)


def test_what_is_dumped_is_read_back_the_same():
    generator = random.Random(1)
    for _ in range(200):
        one = a_recipe(generator)
        text = dump(one)
        assert bare(parse(text)) == bare(one), text
        assert dump(parse(text)) == text
