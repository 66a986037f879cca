"""studies: every study of the open shelf as a verb: `reproduce`, `ablate`, `compare`, ..."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from lichen.cli import terminal
from lichen.cli.main import Answer, Verb, argument
from lichen.core import find, signature
from lichen.core.schema import Option, Signature


def _answer(given: Namespace) -> Answer:
    from lichen.cli.records import here
    from lichen.core import session

    read = signature.of("studies", given.verb)
    store = here()
    values = [
        store.resolve(text) for taken in read.values if (text := getattr(given, taken.name)) is not None
    ]
    options = {name: getattr(given, name) for name in read.options if getattr(given, name) is not None}
    checked = read.check(options)
    sinks = () if given.json else (terminal.Progress(),)
    with session.opened(store, sinks=sinks, about={"study": given.verb}) as opened:
        found = find.load(f"lichen.studies.{given.verb}:{given.verb}")(*values, **checked)
        opened.events.emit("study", study=given.verb, digest=values[0].digest, found=found.as_json())
    return Answer(str(found), found.as_json(), 1 if getattr(found, "says_no", False) else 0)


def _flag(name: str, option: Option) -> tuple[tuple[str, ...], dict[str, Any]]:
    kinds = {"int": int, "float": float, "dict": _mapping, "bool": _plain}
    keywords: dict[str, Any] = {
        "type": _listed if option.is_list else kinds.get(option.kind, str),
        "help": f"{_wanted(option)} (default {option.default})",
    }
    if option.choices:
        keywords["choices"] = list(option.choices)
    return argument(f"--{name.replace('_', '-')}", dest=name, **keywords)


def _wanted(option: Option) -> str:
    return "name=value,name=value" if option.kind == "dict" else option.wanted()


def _mapping(text: str) -> dict[str, Any]:
    """`speedup=4,size_bytes=2e6`, or the same as YAML."""
    from lichen.core import recipefile

    whole = text if text.lstrip().startswith("{") else f"{{{text.replace('=', ': ')}}}"
    found = recipefile.plain(whole, text)
    assert isinstance(found, dict)
    return found


def _plain(text: str) -> Any:
    """`true` as recipes mean it; what is no truth is refused by name later."""
    from lichen.core import recipefile

    return recipefile.plain(text, text)


def _listed(text: str) -> list[Any]:
    """`flip,rotate=15`, or a list as YAML."""
    from lichen.core import recipefile

    items = [f"{{{item.replace('=', ': ')}}}" if "=" in item else item for item in text.split(",")]
    found = recipefile.plain(text if text.lstrip().startswith("[") else f"[{', '.join(items)}]", text)
    assert isinstance(found, list)
    return found


def _verb(read: Signature) -> Verb:
    values = [
        argument(taken.name, nargs="?" if taken.may_be_none else None, help="a name or the start of a digest")
        for taken in read.values
    ]
    return Verb(
        read.caption, _answer, (*values, *(_flag(name, option) for name, option in read.options.items()))
    )


VERBS = {name: _verb(signature.of("studies", name)) for name in find.shelf("studies")}
