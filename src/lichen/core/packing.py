"""packing: tensors as blobs, and as the entries of a manifest that name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lichen.core.array import Array
from lichen.core.value import Blobs, Memory

SMALL_BYTES = 4096
"""Tensors below this are packed into one blob: a file each would cost more than they hold."""


def pack(weights: Mapping[str, Array], memory: Memory) -> dict[str, Any]:
    """Puts tensors into blobs: a large one its own, small ones together in name order."""
    entries: dict[str, Any] = {}
    small: list[tuple[str, Array]] = []
    for name in sorted(weights):
        array = weights[name]
        if array.size_bytes >= SMALL_BYTES:
            entries[name] = _entry(array, memory.put(array.data), 0)
        else:
            small.append((name, array))
    if small:
        blob = memory.put(
            b"".join(bytes(array.data).ljust(-(-array.size_bytes // 8) * 8, b"\0") for _, array in small)
        )
        offset = 0
        for name, array in small:
            entries[name] = _entry(array, blob, offset)
            offset += -(-array.size_bytes // 8) * 8
    return dict(sorted(entries.items()))


def unpack(entry: Mapping[str, Any], blobs: Blobs) -> Array:
    data = blobs.get(entry["blob"])[entry["offset"] : entry["offset"] + entry["size"]]
    return Array(dtype=entry["dtype"], shape=tuple(entry["shape"]), data=data)


def _entry(array: Array, blob: str, offset: int) -> dict[str, Any]:
    return {
        "dtype": array.dtype,
        "shape": list(array.shape),
        "blob": blob,
        "offset": offset,
        "size": array.size_bytes,
    }
