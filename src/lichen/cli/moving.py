"""moving: values go between stores and files; a folder joins a team's store."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from lichen.cli.main import Answer
from lichen.cli.records import here
from lichen.core.value import size_text

if TYPE_CHECKING:
    from lichen.core.store import Store
    from lichen.core.transfer import Sent


def push(given: Namespace) -> Answer:
    """A value of this store goes to another."""
    source = here()
    return _sent(given.words[0], source, _other(given.words[1]), is_whole=given.whole)


def pull(given: Namespace) -> Answer:
    """A value of another store comes to this one."""
    return _sent(given.words[0], _other(given.words[1]), here(), is_whole=given.whole)


def take_in(given: Namespace) -> Answer:
    """A value file comes into this store, checked blob by blob."""
    from lichen.core import transfer, valuefile

    target, value = here(), valuefile.read(given.words[0])
    sent = transfer.send(value, None, target)
    if given.words[1:]:
        target.names.move(given.words[1], target.value(value.digest, value.made), verb="import")
    return _answer(f"{value!r}", sent)


def put_out(given: Namespace) -> Answer:
    """A value goes into one file, which `import` and `li.open` read anywhere."""
    value = here().resolve(given.words[0])
    path = value.save(given.words[1])
    size = path.stat().st_size
    return Answer(
        f"{path}: {value!r}, {size_text(size)}",
        {"file": str(path), "digest": value.digest, "size_bytes": size},
    )


def join(given: Namespace) -> Answer:
    """This folder becomes part of a team's store."""
    from lichen.core import team
    from lichen.core.store import FOLDER, find_folder

    records, objects = given.words
    place = team.join(find_folder() or Path.cwd() / FOLDER, records, objects)
    text = f"{place.folder} is part of {place.records.where} and {objects}"
    return Answer(text, {"folder": str(place.folder), "records": place.records.where, "objects": objects})


def _other(text: str) -> Store:
    from lichen.core.errors import NotFoundError
    from lichen.core.store import FOLDER, Store, is_store

    for folder in (Path(text), Path(text) / FOLDER):
        if is_store(folder):
            return Store(folder)
    raise NotFoundError(
        f"`{text}` is no store", hint="a store is a .lichen folder, or the folder that holds one"
    )


def _sent(text: str, source: Store, target: Store, *, is_whole: bool) -> Answer:
    from lichen.core import transfer

    value = source.resolve(text)
    sent = transfer.send(value, source, target, is_whole=is_whole)
    if source.records.row("SELECT 1 FROM names WHERE name = ?", [text]) is not None:
        target.names.move(text, target.value(value.digest, value.made), verb="import")
    return _answer(f"{text}: {value!r}", sent)


def _answer(head: str, sent: Sent) -> Answer:
    from dataclasses import asdict

    new = f"{sent.values} values and {size_text(sent.added_bytes)} new there"
    return Answer(f"{head}; {new}, {sent.calls} calls of its lineage", asdict(sent))
