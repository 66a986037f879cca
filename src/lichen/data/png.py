"""png: small pictures as data URIs, with nothing but zlib.

Shapes: C channels (1 or 3), H height, W width.
"""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, COLOUR = 0, 2
"""Colour types of the PNG specification."""


def encode(pixels_CHW: np.ndarray) -> bytes:
    """The bytes of a PNG of uint8 pixels; more than three channels show the first three, two the first."""
    channels, height, width = pixels_CHW.shape
    shown_CHW = pixels_CHW[: 3 if channels >= 3 else 1]
    lines = np.zeros((height, 1 + width * len(shown_CHW)), np.uint8)
    lines[:, 1:] = shown_CHW.transpose(1, 2, 0).reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, COLOUR if len(shown_CHW) == 3 else GREY, 0, 0, 0)
    body = zlib.compress(lines.tobytes(), 9)
    return SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def decode_uri(uri: str) -> np.ndarray:
    """uint8 (C, H, W) of a data URI that `data_uri` wrote."""
    body = base64.b64decode(uri.partition(",")[2])
    _, width, height, _, colour = struct.unpack(">8sIIBB", body[len(SIGNATURE) : len(SIGNATURE) + 18])
    start = body.index(b"IDAT")
    (length,) = struct.unpack(">I", body[start - 4 : start])
    lines = np.frombuffer(zlib.decompress(body[start + 4 : start + 4 + length]), np.uint8)
    shown_HWC = lines.reshape(height, -1)[:, 1:].reshape(height, width, 3 if colour == COLOUR else 1)
    return shown_HWC.transpose(2, 0, 1)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def data_uri(pixels_CHW: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(encode(pixels_CHW)).decode()
