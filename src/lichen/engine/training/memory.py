"""memory: the C library keeps what a training step frees, because the next step takes it again.

By default glibc hands large blocks back to the system at once; every step then has its pages cleared and
mapped anew: 50 000 page faults per step of a ResNet-18 at batch 128.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
"""glibc's numbers, malloc.h."""
DEFAULTS = {MMAP_MAX: 65536, MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 64 << 20}
"""Where glibc's own adjusting ends up; setting any by hand stops it from adjusting."""
_num_within = 0
_lock = threading.Lock()


@contextmanager
def kept() -> Iterator[None]:
    """Freed memory stays with the process while it lasts, also within another, also in several threads.

    Without glibc nothing changes.
    """
    library = _library()
    if library is None:
        yield
        return
    _count(library, 1)
    try:
        yield
    finally:
        _count(library, -1)


def _count(library: Any, step: int) -> None:
    """The first to come changes glibc's habits, the last to go puts them back."""
    global _num_within
    with _lock:
        was, _num_within = _num_within, _num_within + step
        if was == 0:
            library.mallopt(MMAP_MAX, 0)
            library.mallopt(TRIM_THRESHOLD, -1)
        elif _num_within == 0:
            for name, value in DEFAULTS.items():
                library.mallopt(name, value)
            library.malloc_trim(0)


@lru_cache
def _library() -> Any:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
