"""pages: large pages for weights that every token reads whole: by small ones a fifth of its time is lookups.

Linux gives them to memory that asks; a runtime does not ask, so what it took while it loaded is named here.
Elsewhere, and where the kernel refuses, nothing happens.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAPS = Path("/proc/self/maps")
OWN = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p 00000000 00:00 0 *(\[heap\]|\[anon.*)?$", re.MULTILINE)
"""Memory that holds no file and is no stack."""
LEAST_BYTES = 4 << 20
"""Below this a page of 2 MB is not worth it."""
ASK, GATHER = 14, 25
"""MADV_HUGEPAGE, and MADV_COLLAPSE: also what lies there already, at once."""


@contextmanager
def large() -> Iterator[None]:
    """Asks for large pages for what is allocated while this lasts."""
    before = dict(_stretches())
    yield
    for start, end in _stretches():
        fresh = max(start, before.get(start, start))  # what grew at its end
        if end - fresh >= LEAST_BYTES:
            _ask(fresh, end)


def _stretches() -> Iterator[tuple[int, int]]:
    """Start and end of every stretch of memory of the process."""
    if not sys.platform.startswith("linux") or not MAPS.exists():
        return
    for found in OWN.finditer(MAPS.read_text()):
        yield int(found[1], 16), int(found[2], 16)


def _ask(start: int, end: int) -> None:
    """Advice, which the kernel may refuse: then it stays as it was."""
    library = ctypes.CDLL(None, use_errno=True)
    for advice in (ASK, GATHER):
        library.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), advice)
