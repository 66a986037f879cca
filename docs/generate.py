"""generate: writes docs/reference and the editor's stub from the signatures and docstrings of the shelves.

python docs/generate.py           writes them
python docs/generate.py --check   says what is out of date, exit 1
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from lichen.cli.main import verbs
from lichen.core import find, shelves, signature
from lichen.core.door import FACES, VERBS
from lichen.core.schema import Option, Signature

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
TYPES = {
    "int": "int",
    "float": "float",
    "str": "str",
    "bool": "bool",
    "dict": "dict[str, Any]",
    "net": "str",
    "task": "str",
    "source": "str",
    "function": "Callable[..., Any]",
    "table": "str | dict[str, float]",
}


def pages() -> dict[Path, str]:
    """Every generated file with its text."""
    found = {}
    for address in find.shelf("steps"):
        read = signature.of("steps", address)
        found[REFERENCE / "steps" / f"{address}.md"] = step_page(read)
    for address in find.shelf("studies"):
        found[REFERENCE / "studies" / f"{address}.md"] = study_page(signature.of("studies", address))
    nets = shelf_page(
        "nets", "What `net:` takes. A file may serve several names; `net_options:` takes what follows."
    )
    found[REFERENCE / "nets.md"] = nets + "".join(net_section(*one) for one in find.shelf("nets").items())
    found[REFERENCE / "tasks.md"] = shelf_page("tasks", "What `task:` takes.")
    found[REFERENCE / "command-line.md"] = command_page()
    found[REFERENCE / "README.md"] = contents()
    found[ROOT / "src" / "lichen" / "__init__.pyi"] = stub()
    found[ROOT / "README.md"] = readme((ROOT / "README.md").read_text())
    return found


def readme(text: str) -> str:
    """The README with the house's tree and the digits recipe as they are."""
    text = re.sub(
        r"(## The house\n\n```text\n).*?(```)", lambda found: found[1] + tree() + found[2], text, flags=re.S
    )
    recipe = (ROOT / "recipes" / "digits.yaml").read_text()
    body = "".join(line for line in recipe.splitlines(keepends=True) if not line.startswith("#"))
    return re.sub(
        r"(```yaml\n# recipes/digits.yaml\n).*?(```)",
        lambda found: found[1] + body + found[2],
        text,
        flags=re.S,
    )


def tree() -> str:
    """The rooms of the house with their captions."""
    rows = [("src/lichen/", "")]
    for folder in ("core", "data", "layers", "nets", "engine", "tasks", "steps", "studies", "report", "cli"):
        rows.append((f"  {folder}/", find.caption(find.PACKAGE / folder / "__init__.py")))
        if folder == "steps":
            rows += [
                (f"    {stage.name}/", find.caption(stage / "__init__.py"))
                for stage in sorted((find.PACKAGE / "steps").iterdir())
                if (stage / "__init__.py").is_file()
            ]
    rows += [
        ("recipes/", "whole lives, ready to run"),
        ("bench/", "side-by-side measurements against peers"),
        ("tests/", "the same tree as src"),
        ("docs/", "tutorial, reference, explanations, decisions, log"),
    ]
    return "".join(f"{name:15s}{caption}".rstrip() + "\n" for name, caption in rows)


def step_page(read: Signature) -> str:
    takes = ", ".join(f"`{taken.name}`: {' or '.join(taken.kinds)}" for taken in read.values) or "no value"
    gives = " or ".join(read.returns) or ", ".join(f"`{name}`: {kind}" for name, kind in read.fields.items())
    removal = read.removal()
    if isinstance(removal, str):
        taken = "its input" if removal == "identity" else f"`{removal}`, where it is given, else its input,"
        without = f"{taken} takes the place of its output"
    else:
        without = "it cannot be left out" if removal is None else f"it runs with `{removal}`"
    opens = (
        f"the split that `{read.splits}` names"
        if isinstance(read.splits, str)
        else ", ".join(read.splits) or "none"
    )
    return "\n".join(
        [
            f"# {read.address}",
            "",
            f"{read.caption[:1].upper()}{read.caption[1:]}.",
            "",
            f"Takes {takes}; gives {gives}. Splits it opens: {opens}. Without it (`ablate`): {without}.",
            "",
            *options_table(read),
            "",
            "```text",
            read.doc,
            "```",
            "",
        ]
    )


def study_page(read: Signature) -> str:
    return "\n".join(
        [
            f"# {read.address}",
            "",
            f"{read.caption[:1].upper()}{read.caption[1:]}.",
            "",
            *options_table(read),
            "",
            "```text",
            read.doc,
            "```",
            "",
        ]
    )


def options_table(read: Signature) -> list[str]:
    if not read.options:
        return ["It has no options."]
    rows = [
        f"| `{name}` | {default_text(option)} | {option.wanted()} |" for name, option in read.options.items()
    ]
    return ["| option | default | takes |", "|---|---|---|", *rows]


def default_text(option: Option) -> str:
    return "required" if option.is_required else "-" if option.default is None else f"`{option.default}`"


def shelf_page(shelf: str, intro: str) -> str:
    rows = []
    for address, path in find.shelf(shelf).items():
        names = ", ".join(f"`{name}`" for name in find.variants(path)) if shelf == "nets" else ""
        rows.append(f"| `{address}` | {find.caption(path)} | {names} |")
    return "\n".join(
        [f"# {shelf}", "", intro, "", "| name | what it is | variants |", "|---|---|---|", *rows, ""]
    )


def net_section(address: str, path: Path) -> str:
    """What the builder of a net takes beside the shapes and the variant that its name says."""
    parts = ast.parse(path.read_text()).body
    build = next(part for part in parts if isinstance(part, ast.FunctionDef) and part.name == "build")
    rows = [
        f"| `{taken.arg}` | {f'`{ast.unparse(given)}`' if given else 'required'} | "
        f"{ast.unparse(taken.annotation).replace('|', 'or') if taken.annotation else '-'} |"
        for taken, given in zip(build.args.kwonlyargs, build.args.kw_defaults, strict=True)
        if taken.arg not in ("in_shape", "num_outputs", "variant")
    ]
    if not rows:
        return ""
    doc = (ast.get_docstring(build) or "").partition("Args:\n")[2].partition("\n\n")[0]
    said = ["", "```text", textwrap.dedent(doc).rstrip(), "```"] if doc else []
    return "\n".join(
        ["", f"## {address}", "", "| option | default | takes |", "|---|---|---|", *rows, *said, ""]
    )


def command_page() -> str:
    lines = ["# The command line", "", "Every verb takes `--json` and `--store FOLDER`.", ""]
    for word, verb in verbs().items():
        lines += [f"## lichen {word}", "", f"{verb.summary[:1].upper()}{verb.summary[1:]}.", ""]
        for flags, keywords in verb.arguments:
            name = " ".join(flags) if flags[0].startswith("-") else str(keywords.get("metavar", flags[0]))
            lines.append(f"- `{name}`: {keywords.get('help', '')}")
        lines.append("")
    return "\n".join(lines)


def contents() -> str:
    lines = [
        "# Reference",
        "",
        "Generated from signatures and docstrings by `make docs`.",
        "",
        "## Steps",
        "",
    ]
    lines += [
        f"- [{address}](steps/{address}.md): {find.caption(path)}"
        for address, path in find.shelf("steps").items()
    ]
    lines += ["", "## Studies", ""]
    lines += [
        f"- [{address}](studies/{address}.md): {find.caption(path)}"
        for address, path in find.shelf("studies").items()
    ]
    lines += [
        "",
        "## More",
        "",
        "- [nets](nets.md)",
        "- [tasks](tasks.md)",
        "- [the command line](command-line.md)",
        "",
    ]
    return "\n".join(lines)


def stub() -> str:
    """What an editor reads instead of the lazy door."""
    lines = [
        '"""Generated by `make docs`: what an editor completes."""',
        "",
        "from collections.abc import Callable",
        "from pathlib import Path",
        "from typing import Any, Literal",
        "",
    ]
    lines += sorted(f"from lichen.{module} import {name} as {name}" for name, module in FACES.items())
    lines += ["from lichen.core.value import Value", "", "__version__: str", ""]
    for stage in shelves.names():
        shelf = "studies" if stage == "studies" else "steps"
        mine = [
            address for address in find.shelf(shelf) if shelf == "studies" or address.startswith(f"{stage}.")
        ]
        lines.append(f"class _{stage.capitalize()}:")
        for address in mine:
            lines += function(
                signature.of(shelf, address), address.rpartition(".")[2], "    ", is_method=True
            )
        lines += ["", f"{stage}: _{stage.capitalize()}", ""]
    for name, address in VERBS.items():
        lines += function(signature.of("steps", address), name, "", is_method=False)
    lines += ["def open(path: str | Path) -> Value: ...", ""]
    return "\n".join(lines)


def function(read: Signature, name: str, indent: str, *, is_method: bool) -> Iterator[str] | list[str]:
    first = ["self"] if is_method else []
    values = [
        f"{taken.name}: {' | '.join(taken.kinds)}" + (" | None = None" if taken.may_be_none else "")
        for taken in read.values
    ]
    options = dict(read.options)
    if not read.values and (source := next((n for n, o in options.items() if o.kind == "source"), None)):
        values.append(f"{source}: str = ...")
        del options[source]
    words = [
        f"{option.name}: {hint(option)}" + ("" if option.is_required else " = ...")
        for option in options.values()
    ]
    gives = " | ".join(read.returns) or "Any"
    return [
        f"{indent}def {name}(",
        *(f"{indent}    {one}," for one in [*first, *values, *(["*"] if words else []), *words]),
        f"{indent}) -> {gives}:",
        f'{indent}    """{read.caption}"""',
        f"{indent}    ...",
    ]


def hint(option: Option) -> str:
    one = f"Literal[{', '.join(map(repr, option.choices))}]" if option.choices else TYPES[option.kind]
    one = f"list[{one}]" if option.is_list else one
    return f"{one} | None" if option.may_be_none else one


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    wanted = pages()
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text]
    stale += [path for path in REFERENCE.rglob("*.md") if path not in wanted]
    if given.check:
        sys.stdout.write("".join(f"out of date: {path.relative_to(ROOT)}\n" for path in stale))
        return 1 if stale else 0
    for path in stale:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
        else:
            path.unlink()
    sys.stdout.write(f"{len(stale)} of {len(wanted)} files written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
