"""rows: the rows of a split, by what they hold: pictures, texts, pairs of these, cells or observations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from lichen.core import find
from lichen.core.dataset import Dataset
from lichen.core.errors import DataError, nearest
from lichen.data import manifest
from lichen.data.bitext import Bitext
from lichen.data.images import Images
from lichen.data.observations import Observations
from lichen.data.scan import Located, ids_of
from lichen.data.tabular import Tabular
from lichen.data.texts import Texts

Rows = Images | Observations | Texts | Bitext | Tabular


def read(data: Dataset, split: str) -> Rows:
    """The rows of a split; nothing is decoded yet.

    Raises:
        LeakError: the split may not be opened here.
        DataError: it has no rows.
    """
    places, targets = manifest.located(data, split)
    if len(targets) == 0:
        raise DataError(f"split `{split}` must have rows; it has none", where=data.root)
    digests = manifest.digests(data, split)
    if len(digests) != len(targets):
        raise DataError(f"split `{split}` has {len(digests)} digests for {len(targets)} rows")
    _require_place(data, places, split)
    held: dict[str, Any] = dict(
        split=split, identity=data.with_policy(()).identity((split,)),
        reader=find.load(f"lichen.data.readers.{data.reader(split)['name']}"),
        located=places, digests=digests, targets=targets, ids=ids_of(digests),
    )  # fmt: skip
    if (about := data.schema.get("observation")) is not None:
        found = Observations(**held, shape=tuple(about["shape"]), num_numbers=len(about["low"]))
        return replace(found, targets=found.actions()) if found.num_numbers else found
    if places.shape is None:
        kinds: dict[str, type[Texts]] = {"bitext": Bitext, "tabular": Tabular}
        return next((kind for name, kind in kinds.items() if name in data.schema), Texts)(**held)
    return Images(**held, shape=cast("tuple[int, int, int]", places.shape))


def _require_place(data: Dataset, places: Located, split: str) -> None:
    """Refuses rows that lie nowhere: those of a Dataset from a file, unless it holds them itself.

    Raises:
        DataError: neither a folder nor the Dataset has them, or no reader knows them.
    """
    name, known = data.reader(split)["name"], find.shelf("data/readers")
    if name not in known:
        raise DataError(f"no reader `{name}` is known", hint=nearest(str(name), known))
    if (places.content is None) != (name != "arrays") or (places.content is None and places.root is None):
        raise DataError(
            f"the rows of {split} are not here: the data name them and do not hold them",
            hint="load the data again; keep=True keeps the rows in the data",
        )
