"""guard: test opens only to be measured on, and its rows are in nothing that was learnt from.

Rows that were drawn from a generator stand in train alone: nothing is judged by what a model made up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lichen.core import find
from lichen.core.errors import LeakError, NotFoundError
from lichen.core.value import Blobs, Chain, Value

if TYPE_CHECKING:
    from lichen.core.dataset import Dataset
    from lichen.core.lineage import Call
    from lichen.core.schema import Signature
    from lichen.core.session import Session

HINT = "`test` opens only with assess.evaluate(..., split='test')"


@dataclass(frozen=True, slots=True)
class Shut:
    """Blobs behind a view of a Dataset: those of the splits that it may not open are not handed out.

    Args:
        closed: blob -> the split that it belongs to.
    """

    blobs: Blobs
    closed: Mapping[str, str]

    def get(self, blob: str) -> memoryview:
        if blob in self.closed:
            raise LeakError(f"split `{self.closed[blob]}` may not be opened here", hint=HINT)
        return self.blobs.get(blob)

    def __contains__(self, blob: str) -> bool:
        return blob in self.blobs


def reopened(blobs: Blobs) -> Blobs:
    """All blobs again, once the step that was handed a view of them has returned."""
    if isinstance(blobs, Shut):
        return reopened(blobs.blobs)
    if isinstance(blobs, Chain):
        return Chain(tuple(reopened(place) for place in blobs.places))
    return blobs


_open: ContextVar[tuple[str, ...] | None] = ContextVar("lichen_open_splits", default=None)
"""Splits that the step under way opens; None outside of steps, and in one that makes data of nothing."""


@contextmanager
def inside(signature: Signature, splits: tuple[str, ...]) -> Iterator[None]:
    """Runs the body of a step: however it gets hold of data, test opens only if it declares so.

    Raises:
        LeakError: it runs in a step that does not open test, and opens it.
    """
    outer = _open.get()
    if outer is not None and "test" in splits and "test" not in outer:
        raise LeakError(f"`{signature.address}` may not open `test` inside a step that does not", hint=HINT)
    takes_data = any("Dataset" in taken.kinds for taken in signature.values)
    is_source = not takes_data and "Dataset" in (*signature.returns, *signature.fields.values())
    token = _open.set(None if is_source else splits)
    try:
        yield
    finally:
        _open.reset(token)


def check_open(split: str) -> None:
    """Refuses `test` to a step that does not declare it, however it came by the data.

    Raises:
        LeakError: it is asked for by such a step.
    """
    splits = _open.get()
    if split == "test" and splits is not None and split not in splits:
        raise LeakError("split `test` may not be opened inside this step", hint=HINT)


def check(
    signature: Signature, values: Mapping[str, Value | None], options: Mapping[str, Any], session: Session
) -> None:
    """Refuses a call that would learn from test, or measure on rows that were learnt from.

    Raises:
        LeakError: a step that returns anything but Scores opens test, or takes Scores of test; or rows of
            test stand in data behind the value that is measured; or rows to judge by are synthetic.
    """
    given = [value for value in values.values() if value is not None]
    for data in given:
        check_real(data)
    kinds = set(signature.returns) | set(signature.fields.values())
    if kinds != {"Scores"}:
        if "test" in signature.opens(options):
            raise LeakError(
                f"`{signature.address}` may not open `test`: it returns more than Scores", hint=HINT
            )
        if any(_tells_of_test(value) for value in given):
            raise LeakError(
                f"`{signature.address}` may not choose by scores on `test`", hint="score on validation"
            )
    elif "test" in signature.opens(options):
        for data in (value for value in given if value.kind == "dataset"):
            for value in given:
                _check_behind(value, data, session)  # type: ignore[arg-type]


def check_real(data: Value) -> None:
    """Refuses a Dataset whose rows to be judged by were drawn from a generator.

    Raises:
        LeakError: it has such rows; says how many, and in which split.
    """
    for name, split in data.manifest["splits"].items() if data.kind == "dataset" else ():
        if name != "train" and split.get("num_synthetic"):
            raise LeakError(
                f"{split['num_synthetic']} rows of {name} are synthetic; only train may have such",
                hint="generate.extend adds rows to train and to no other split",
            )


def check_captured(owner: str, used: str, value: Value) -> None:
    """Refuses a Dataset that a step's code names but is not handed: no record would say what it reads.

    Raises:
        LeakError: the value is one.
    """
    if value.kind == "dataset":
        raise LeakError(
            f"`{owner}` uses `{used}`, a Dataset that it was not handed", hint="take it as a parameter"
        )


def _tells_of_test(value: Value) -> bool:
    is_read = value.made is not None and "test" in value.made.call.read
    return value.kind == "scores" and (is_read or value.manifest.get("split") == "test")


def _check_behind(value: Value, test: Dataset, session: Session) -> None:
    """Refuses to measure on test rows that any data behind a value had in another split."""
    calls = value.made.call.history() if value.made and value.kind != "dataset" else []
    if not calls or session.store is None or keeps_duplicates(test) or keeps_duplicates(value):
        return
    for digest, splits in _learnt_from(calls).items():
        try:
            data: Any = session.store.value(digest)
        except NotFoundError:  # collected
            continue
        for split in splits & data.splits.keys() if test.num_rows("test") else ():
            num_rows = find.load("lichen.data.manifest:num_common")(test, "test", data, split)
            if num_rows:
                raise LeakError(
                    f"{num_rows} rows of test stand in {split} of data that the value was made with",
                    where=f"dataset {digest[:10]}", hint="measure on rows that it has not seen",
                )  # fmt: skip


def _learnt_from(calls: list[Call]) -> dict[str, set[str]]:
    """Datasets that calls read, with the splits they opened."""
    found: dict[str, set[str]] = {}
    for call in calls:
        for ref in call.inputs.values():
            if ref.kind == "dataset" and call.read:
                found.setdefault(ref.digest, set()).update(call.read)
    return found


def keeps_duplicates(value: Value) -> bool:
    """Whether rows that stand in two splits were left in when the data behind a value were loaded."""
    calls = value.made.call.history() if value.made else []
    return any(call.options.get("duplicates") == "keep" for call in calls)
