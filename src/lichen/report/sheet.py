"""sheet: rows of a dataset as one picture: each with its label, and beside it how training varies it."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from lichen.core.dataset import Dataset
from lichen.core.disk import disk_error
from lichen.core.errors import UsageError
from lichen.data import augment, mix
from lichen.data.images import Images

PER_LABEL, MOST = 4, 64
VARIED = 5
"""Epochs shown beside a row where the data has a policy."""
SIDE, TEXT, GAP = 96, 14, 4


def write(data: Dataset, path: Path) -> int:
    """Draws train rows, each label in turn, as .png or .html; returns how many.

    Raises:
        UsageError: the file is neither.
    """
    if path.suffix not in (".png", ".html"):
        raise UsageError(f"a preview is a .png or a .html file, not `{path}`")
    rows = data.rows("train" if "train" in data.splits else next(iter(data.splits)))
    chosen = _chosen(rows)
    names = [_named(target, data.labels) for target in rows.targets[chosen]]
    shown = list(zip(names, _pixels(rows, chosen, data), strict=True))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            _sheet(shown).save(path)
        else:
            path.write_text(_page(shown, data), encoding="utf-8")
    except OSError as error:
        raise disk_error(error, path) from error
    return len(shown)


def _chosen(rows: Images) -> np.ndarray:
    """The first rows of every label, each once, at most MOST; of rows of several labels also of none."""
    if rows.targets.ndim == 2:
        marks = [*rows.targets.astype(bool).T, ~rows.targets.any(1)]
    else:
        marks = [rows.targets == label for label in np.unique(rows.targets)[:MOST]]
    each = max(1, min(PER_LABEL, MOST // len(marks)))
    found = np.concatenate([np.flatnonzero(is_mine_N)[:each] for is_mine_N in marks])
    return found[np.sort(np.unique(found, return_index=True)[1])][:MOST]


def _named(target: np.ndarray, labels: list[str]) -> str:
    """The label of a row, or all that it has."""
    if not target.ndim:
        return labels[int(target)]
    return ", ".join(label for label, has in zip(labels, target, strict=True) if has) or "none"


def _pixels(rows: Images, chosen: np.ndarray, data: Dataset) -> list[np.ndarray]:
    """uint8 (H, W * (1 + VARIED), 3) of each row and of what some epochs make of it."""
    size = None if rows.is_uniform else SIDE
    images_BCHW = torch.from_numpy(np.array(rows.batch(chosen, size)))
    found = [images_BCHW]
    if augment.strengths(data.policy):
        ids = torch.from_numpy(rows.ids[chosen].view(np.int64).copy())
        for epoch in range(VARIED):
            uniforms = augment.drawn(data.policy, ids, seed=0, epoch=epoch)
            found.append(mix.shown(data.policy, images_BCHW, uniforms))
    pixels_BHWC = torch.cat(found, 3).permute(0, 2, 3, 1).numpy()
    return list(np.repeat(pixels_BHWC, 3, 3) if pixels_BHWC.shape[3] == 1 else pixels_BHWC)


def _scaled(pixels_HWC: np.ndarray) -> Image.Image:
    """Small pictures are enlarged by whole factors, large ones reduced."""
    image = Image.fromarray(np.ascontiguousarray(pixels_HWC))
    if image.height > SIDE:
        return image.resize((max(1, image.width * SIDE // image.height), SIDE), Image.Resampling.BILINEAR)
    factor = max(1, SIDE // image.height)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _sheet(shown: list[tuple[str, np.ndarray]]) -> Image.Image:
    tiles = [(label, _scaled(pixels)) for label, pixels in shown]
    width, height = (
        max(tile.width for _, tile in tiles) + GAP,
        max(tile.height for _, tile in tiles) + TEXT + GAP,
    )
    across = max(1, min(len(tiles), 1200 // width))
    down = -(-len(tiles) // across)
    sheet = Image.new("RGB", (across * width, down * height), "white")
    pen = ImageDraw.Draw(sheet)
    for place, (label, tile) in enumerate(tiles):
        x, y = place % across * width, place // across * height
        pen.text((x + 2, y), label[: max(4, width // 7)], fill="black")
        sheet.paste(tile, (x, y + TEXT))
    return sheet


def _page(shown: list[tuple[str, np.ndarray]], data: Dataset) -> str:
    figures = "".join(
        f"<figure><img src='{_embedded(pixels)}'><figcaption>{html.escape(label)}</figcaption></figure>"
        for label, pixels in shown
    )
    said = html.escape(repr(data))
    return (
        "<!doctype html><meta charset='utf-8'><title>data</title><style>body{font:14px sans-serif}"
        "figure{display:inline-block;margin:4px}img{image-rendering:pixelated;height:96px}figcaption{text-align:center}"
        f"</style><p>{said}</p>{figures}\n"
    )


def _embedded(pixels_HWC: np.ndarray) -> str:
    file = io.BytesIO()
    _scaled(pixels_HWC).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
