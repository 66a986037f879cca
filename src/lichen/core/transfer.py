"""transfer: a value goes from one store to another with its lineage, which explains it there too."""

from __future__ import annotations

from dataclasses import dataclass

from lichen.core.code import Code
from lichen.core.errors import LichenError
from lichen.core.lineage import Call, Made
from lichen.core.scores import Scores
from lichen.core.store import Store
from lichen.core.value import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What came to be in the target."""

    digest: str
    values: int
    calls: int
    added_bytes: int


def send(value: Value, source: Store | None, target: Store, *, is_whole: bool = False) -> Sent:
    """Copies a value, its lineage and its evaluations.

    Args:
        source: None: the value is from a file, which holds its lineage and no more.
        is_whole: the values of the lineage too, so that the target has nothing to compute again.

    Raises:
        UnsafeInputError: a blob is not what it is named for; it is not sent.
    """
    calls = value.made.call.history() if value.made else []
    values = [value]
    if source is not None:
        known = {call.id for call in calls}
        calls += [call for call in _evaluations(value, source) if call.id not in known]
        values += _outputs(calls, source, is_whole)
    before = target.added_bytes
    news = {one.digest: one for one in values if not target.has(one)}
    for one in news.values():
        target.keep(one)
    with target.adding(), target.records.transaction():
        for call in calls:
            detail = source.detail(call.code) if source else None
            target.write_call(call, Code(detail["modules"], detail["packages"]) if detail else None)
    return Sent(
        digest=value.digest, values=len(news), calls=len(calls), added_bytes=target.added_bytes - before
    )


def _evaluations(value: Value, source: Store) -> list[Call]:
    """Calls that scored this value, with those behind them."""
    found: dict[str, Call] = {}
    for call in source.readers(value.digest):
        if "scores" in call.kinds.values():
            found.update({one.id: one for one in call.history()})
    return list(found.values())


def _outputs(calls: list[Call], source: Store, is_whole: bool) -> list[Value]:
    """Scores, and where all is wanted every value that the source still has."""
    found = []
    for call in calls:
        for name, digest in call.outputs.items():
            if is_whole or call.kinds[name] == Scores.kind:
                try:
                    found.append(source.value(digest, Made(call, name)))
                except LichenError:
                    continue  # collected
    return found
