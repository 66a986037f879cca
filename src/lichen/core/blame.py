"""blame: whose fault an ordinary exception of a step is: the user's code, this machine, or ours."""

from __future__ import annotations

import errno
from pathlib import Path

from lichen.core.disk import disk_error
from lichen.core.errors import LichenError, MachineError, StepError
from lichen.core.find import PACKAGE

MACHINE_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOMEM}
OUT_OF_MEMORY = ("can't allocate memory", "out of memory")
"""How torch says it: it raises a plain RuntimeError on a CPU."""


def told(error: Exception, step: str) -> LichenError | None:
    """What the user is shown in place of an ordinary exception; None: a bug of ours, or said well already."""
    if isinstance(error, LichenError):
        return None
    if isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY):
        return MachineError(
            f"step `{step}` ran out of memory", hint="a smaller batch_size, image_size or net"
        )
    if isinstance(error, OSError) and error.errno in MACHINE_FAULTS:
        return disk_error(error, Path(error.filename or "."))
    where = _place(error)
    if where is None:
        return None
    return StepError(f"step `{step}` raised {type(error).__name__}: {error}", where=where)


def _place(error: Exception) -> str | None:
    """File and line of the innermost frame that is the user's own code."""
    import sysconfig
    import traceback

    library = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        is_made_up = frame.filename.startswith("<") and not frame.filename.startswith("<ipython")
        if not is_made_up and not frame.filename.startswith((str(PACKAGE), *library)):
            return f"{frame.filename}:{frame.lineno}"
    return None
