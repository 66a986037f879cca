"""errors: everything that can go wrong, as one tree with exit codes.

LichenError                    (never raised itself)
├── GateError            1     it ran and the answer is no: drift, an accuracy gate, a diverging replay
├── UsageError           2     what was asked for cannot be done as asked
│   ├── OptionError            an option is unknown, missing or out of range
│   ├── RecipeError            a recipe does not say a valid life
│   ├── DataError              rows or columns do not fit the task
│   ├── AdapterError           an adapter met another base than its own, or none
│   ├── LeakError              a step other than evaluation touched the test split
│   └── UnkeyableError         code or a captured object cannot be hashed
├── NotFoundError        3     a name, file, step, net or value does not exist
├── UnsafeInputError     4     input refused: bombs, traversal, code in a file
├── MachineError         5     disk, permission, a missing package
└── StepError            6     a step failed
    └── DivergedError          training became non-finite and did not recover

Exit code 70 is a bug of ours: anything that is not a LichenError.
"""

from __future__ import annotations

from collections.abc import Iterable


class LichenError(Exception):
    """A failure with a message for the user, an optional position and hint, and an exit code.

    Args:
        message: what must hold and the value seen.
        where: the file, row, key or position it was seen at.
        hint: the nearest right thing.
    """

    exit_code = 70

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        lines = [self.message]
        if self.where:
            lines.append(f"  --> {self.where}")
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)

    def at(self, where: str) -> LichenError:
        """The same error with a position, unless it already has one."""
        if self.where is None:
            self.where = where
        return self


class GateError(LichenError):
    exit_code = 1


class UsageError(LichenError):
    exit_code = 2


class OptionError(UsageError):
    pass


class RecipeError(UsageError):
    pass


class DataError(UsageError):
    pass


class AdapterError(UsageError):
    pass


class LeakError(UsageError):
    pass


class UnkeyableError(UsageError):
    pass


class NotFoundError(LichenError):
    exit_code = 3


class UnsafeInputError(LichenError):
    exit_code = 4


class MachineError(LichenError):
    exit_code = 5


class StepError(LichenError):
    exit_code = 6


class DivergedError(StepError):
    pass


NEAR = 200
"""Letters of a misspelt word that are compared: matching takes the square of them."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """A hint `did you mean ...?` for a misspelt word, or the list of what is known when it is short.

    A last part alone (`trim` of `compress.trim`) is as near as a whole name.
    """
    import difflib

    names = sorted({name for name in known if isinstance(name, str)})
    whole = {name.rpartition(".")[2]: name for name in names}
    close = difflib.get_close_matches(word[:NEAR], names, n=1, cutoff=0.6)
    close = close or [whole[one] for one in difflib.get_close_matches(word[:NEAR], whole, n=1, cutoff=0.6)]
    if close:
        return f"did you mean `{close[0]}`?"
    return f"known: {', '.join(names)}" if 0 < len(names) <= 20 else None


def missing_package(package: str, extra: str) -> MachineError:
    """The error of an optional third-party package that is not installed."""
    return MachineError(f"package `{package}` is not installed", hint=f"pip install 'lichen[{extra}]'")
