"""grey: pictures for nets of one channel: three of them in one array are three, not the channels of one."""

from __future__ import annotations

from typing import Any

from lichen.engine.inputs import pictures
from lichen.engine.inputs.pictures import decoded, typed

__all__ = ["decoded", "listed", "typed"]


def listed(inputs: Any) -> list[Any]:
    """The inputs one by one, in every form that `pictures` takes."""
    return pictures.listed(inputs, channels=1)
