"""files: the bytes of a file, or an error that names it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lichen.core.errors import DataError, MachineError


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Turns what the operating system says about a path into errors of ours.

    Raises:
        MachineError: no permission, or the disk fails.
        DataError: the file went away.
    """
    try:
        yield
    except PermissionError as error:
        raise MachineError(
            "no permission to read the data",
            where=error.filename or str(path),
            hint="chmod it, or copy the folder",
        ) from None
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise DataError(
            "a file of the data is gone",
            where=error.filename or str(path),
            hint="load it again, or load with keep=True",
        ) from None
    except OSError as error:
        raise MachineError(f"the data cannot be read: {error.strerror or error}", where=str(path)) from None


def read_bytes(path: Path) -> bytes:
    with reading(path):
        return path.read_bytes()
