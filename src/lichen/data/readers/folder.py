"""folder: pictures in one folder per class, with or without a level of splits above."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lichen.core.errors import DataError
from lichen.data import pictures
from lichen.data.columns import ROLES, refuse
from lichen.data.files import read_bytes
from lichen.data.scan import Located, Part, Scan, common_shape, part, split_of


def claims(path: Path, options: Mapping[str, Any]) -> bool:
    return path.is_dir() and any(pictures.is_picture(file.name) for file in path.glob("*/**/*"))


def scan(path: Path, options: Mapping[str, Any], files: Mapping[str, str]) -> Scan:
    refuse(options, ROLES, "a folder of pictures", path)
    names = [name for name in files if pictures.is_picture(name)]
    placed = _placed(path, names)
    shapes = [(0, 0, 0)] * len(names)

    def probe(row: int) -> None:
        shapes[row] = pictures.probe(read_bytes(path / names[row]))

    pictures.each(probe, len(names), pictures.THREADED_BYTES, lambda row: str(path / names[row]))
    parts = {}
    for split in dict.fromkeys(split for split, _ in placed):
        chosen = [place for place, (found, _) in enumerate(placed) if found == split]
        parts[split] = _part(
            [names[place] for place in chosen], [placed[place][1] for place in chosen], files
        )
    return Scan(parts=parts, columns={"image": "file", "label": "folder"}, shape=common_shape(shapes))


def fetch(located: Located, rows: np.ndarray) -> list[bytes]:
    return [read_bytes(located.path(file)) for file in located.file[rows].tolist()]


def _part(names: list[str], labels: list[str], files: Mapping[str, str]) -> Part:
    contents = [bytes.fromhex(files[name]) for name in names]
    return part(contents, labels, files=names, file=np.arange(len(names)), position=-1)


def _placed(path: Path, names: list[str]) -> list[tuple[str, str]]:
    """(split, class) of every picture.

    A level of splits is there when every top folder is named as one; `train` beside `bus` alone is a class.
    """
    levels = [name.split("/") for name in names]
    for name, parts in zip(names, levels, strict=True):
        if len(parts) < 2:
            raise DataError("a picture must lie in the folder of its class", where=str(path / name))
    tops = {parts[0] for parts in levels}
    splits = {top: split_of(top) for top in tops}
    if all(splits.values()):
        for name, parts in zip(names, levels, strict=True):
            if len(parts) < 3:
                raise DataError("a picture must lie in the folder of its class", where=str(path / name))
        return [(str(splits[parts[0]]), parts[1]) for parts in levels]
    named = sorted({split for split in splits.values() if split})
    if "train" in named and len(named) > 1:
        odd = sorted(top for top in tops if splits[top] is None)[0]
        raise DataError(
            f"folders beside {' and '.join(named)} must be splits, too; `{odd}` is none",
            where=str(path / odd), hint="move it away",
        )  # fmt: skip
    return [("train", parts[0]) for parts in levels]
