"""digest: canonical bytes and SHA-256, the only names that values have."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

FORMAT = 1
"""Hand-bumped when the meaning of a key or a manifest changes; part of every call key."""


def canonical(thing: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal things have equal bytes.

    Raises:
        ValueError: a float is not finite.
        TypeError: something JSON cannot say.
    """
    return json.dumps(
        thing, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest_bytes(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_json(thing: Any) -> str:
    return hashlib.sha256(canonical(thing)).hexdigest()


def digest_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def short(digest: str) -> str:
    """The first 10 characters: enough to name a value in a store of millions."""
    return digest[:10]
