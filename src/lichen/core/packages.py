"""packages: the versions of installed distributions, by the modules they provide."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from functools import lru_cache

DISTRIBUTIONS = {
    "sklearn": "scikit-learn", "PIL": "pillow", "yaml": "pyyaml", "cv2": "opencv-python",
    "google": "protobuf",
}  # fmt: skip
"""Where module and distribution differ in name, for the common ones: the full table costs a scan."""


def version_of(top: str) -> str | None:
    """The full version of the distribution that provides a top-level module; None when there is none."""
    for name in (DISTRIBUTIONS.get(top), top, top.replace("_", "-")):
        if name and (version := _version(name)):
            return version
    providers = _providers(tuple((place, _changed_ns(place)) for place in sys.path)).get(top, ())
    return " ".join(f"{name} {_version(name)}" for name in sorted(set(providers))) or None


def _version(name: str) -> str | None:
    """Of the first distribution of a name that says one: a removed one may leave an empty folder.

    Folders are listed here: `importlib.metadata` with its parsers of mail costs more than all else that a run
    of found steps does.
    """
    name = _normal(name)
    for place in sys.path:
        for folder in _distributions(place or ".", _changed_ns(place)).get(name, ()):
            said = re.search(r"^Version:\s*(\S+)", _metadata(folder), re.MULTILINE)
            if said:
                return said[1]
    return None


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


@lru_cache(maxsize=64)
def _distributions(place: str, changed_ns: int) -> Mapping[str, list[str]]:
    """Folders that describe distributions, by name; listed anew when the place changed."""
    found: dict[str, list[str]] = {}
    try:
        entries = sorted(os.listdir(place))
    except OSError:
        return found
    for entry in entries:
        if entry.endswith((".dist-info", ".egg-info")):
            name = _normal(entry.rpartition(".")[0].partition("-")[0])
            found.setdefault(name, []).append(os.path.join(place, entry))
    return found


def _metadata(folder: str) -> str:
    for file in (os.path.join(folder, "METADATA"), os.path.join(folder, "PKG-INFO"), folder):
        try:
            with open(file, encoding="utf-8", errors="replace") as text:
                return text.read()
        except OSError:
            continue
    return ""


@lru_cache(maxsize=4)
def _providers(places: tuple[tuple[str, int], ...]) -> Mapping[str, list[str]]:
    """Distributions by the top-level modules they provide; asked anew when a folder of sys.path changed."""
    from importlib import metadata

    return metadata.packages_distributions()


def _changed_ns(place: str) -> int:
    try:
        return os.stat(place or ".").st_mtime_ns
    except OSError:
        return 0
