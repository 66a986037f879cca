"""syntax: trees of source text, one thread at a time: CPython 3.11 counts their depth per interpreter."""

from __future__ import annotations

import ast
import threading

_lock = threading.Lock()


def parse(source: str | bytes) -> ast.Module:
    """The tree of a source text.

    Raises:
        SyntaxError: it is no Python.
        ValueError: it holds a null byte.
    """
    with _lock:  # https://github.com/python/cpython/issues/106905: SystemError, depth mismatch
        return ast.parse(source)
