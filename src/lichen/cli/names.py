"""names: `promote` and `rollback`: which value a name points at."""

from __future__ import annotations

from argparse import Namespace

from lichen.cli.main import Answer, Verb, argument
from lichen.cli.records import VALUE, here


def promote(given: Namespace) -> Answer:
    """Points a name at a value."""
    store = here()
    value = store.resolve(given.value)
    store.names.move(given.name, value)
    return Answer(f"{given.name} -> {value!r}", {"name": given.name, "digest": value.digest})


def rollback(given: Namespace) -> Answer:
    """Points a name back at what it pointed at before."""
    store = here()
    if given.history:
        rows = store.names.history(given.name)
        return Answer(
            "\n".join(f"{row['at'][:19]}  {row['verb']:8s}  {row['digest'][:10]}" for row in rows), rows
        )
    value = store.names.rollback(given.name)
    return Answer(f"{given.name} -> {value!r}", {"name": given.name, "digest": value.digest})


VERBS = {
    "promote": Verb("point a name, such as digits@prod, at a value", promote, (
        VALUE, argument("name", help="letters, digits, . _ - and one @"),
    )),
    "rollback": Verb("point a name back at what it pointed at before", rollback, (
        argument("name", help="a name of this store"),
        argument("--history", action="store_true", help="only show where it has pointed"),
    )),
}  # fmt: skip
