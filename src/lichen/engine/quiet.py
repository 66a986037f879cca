"""quiet: libraries that log, warn, print and write to the terminal about their own insides are not heard."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from typing import BinaryIO

_terminal = threading.Lock()
"""There is one file descriptor for errors in a process."""


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Silences Python's warnings, its logs below errors, and what is printed."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def muted() -> Iterator[BinaryIO]:
    """Also keeps what native code writes to the terminal as errors; yields a file that has it.

    Some of it comes by way of Python's `sys.stderr`, which need not be the terminal: that part is dropped.
    """
    with _terminal, tempfile.TemporaryFile() as said, quietly(), contextlib.redirect_stderr(io.StringIO()):
        sys.stderr.flush()
        kept = os.dup(2)
        try:
            os.dup2(said.fileno(), 2)
            yield said
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
