"""target: what a compressed value is to reach, and the machine that it is meant for.

A profile describes a machine that is not this one by what can be checked here: its memory and the bytes that
fit are hard limits, and times are taken with no more threads than it has. Nothing is said about the speed of
its cores: a time is of this machine's cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from lichen.core import machine
from lichen.core.errors import OptionError, nearest
from lichen.core.schema import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Limits to be met together; None: not asked for.

    `speedup` is over the fastest float32 executable of the same net: another runtime is no compression.
    """

    latency_ms: float | None = None
    size_bytes: float | None = None
    speedup: float | None = None

    def excess(self, latency_ms: float, size_bytes: int, base_ms: float) -> float:
        """The largest of value over limit; at most 1 where all is met. Without limits: latency over base."""
        shares = [
            value / limit
            for value, limit in (
                (latency_ms, self.latency_ms),
                (size_bytes, self.size_bytes),
                (latency_ms * (self.speedup or 0.0), base_ms if self.speedup else None),
            )
            if limit is not None
        ]
        return max(shares, default=latency_ms / base_ms)

    @property
    def is_open(self) -> bool:
        return self == Target()

    @property
    def is_of_time(self) -> bool:
        return self.latency_ms is not None or self.speedup is not None

    def __str__(self) -> str:
        return _said(self) or "as fast as it gets"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A machine by its memory, the bytes that a program may have, and its threads; None: as this one."""

    memory_bytes: float | None = None
    size_bytes: float | None = None
    threads: int | None = None

    @property
    def counts(self) -> list[int]:
        """Numbers of threads that times are taken with: one, and as many as both machines have."""
        return sorted({1, min(self.threads or machine.num_cores(), machine.num_cores())})

    def broken(self, size_bytes: int, memory_bytes: int | None) -> str:
        """The hard limit that a program breaks, in words; empty: none."""
        if self.size_bytes is not None and size_bytes > self.size_bytes:
            return f"{size_bytes} bytes, and {self.size_bytes:g} may be"
        if self.memory_bytes is not None and (memory_bytes or 0) > self.memory_bytes:
            return f"needs {memory_bytes} bytes of memory, and {self.memory_bytes:g} there are"
        return ""

    def __str__(self) -> str:
        if self == Profile():
            return "this machine"
        cores = f"times of this machine's cores, threads {'and '.join(map(str, self.counts))}"
        return f"a machine of {_said(self)}; {cores}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is wanted, for which machine, and how sure and thorough the search is to be."""

    target: Target
    profile: Profile
    max_drop: float
    trials: int
    level: float


def _said(limits: Target | Profile) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in asdict(limits).items() if value is not None)


def target_of(given: Mapping[str, Any] | None) -> Target:
    """The target of `{"speedup": 4}`.

    Raises:
        OptionError: an unknown limit, or one that is no positive number.
    """
    return Target(**_checked("target", given or {}, Target))


def profile_of(given: Mapping[str, Any] | None) -> Profile:
    """The profile of `{"memory_bytes": 256e6, "threads": 1}`.

    Raises:
        OptionError: an unknown fact, or one that is no positive number; threads must be whole.
    """
    found = _checked("profile", given or {}, Profile)
    threads = found.pop("threads", None)
    if threads is not None and threads != int(threads):
        raise OptionError(f"`threads` in option `profile` must be whole, not {threads:g}")
    return Profile(**found, threads=None if threads is None else int(threads))


def _checked(option: str, given: Mapping[str, Any], kind: type[Target | Profile]) -> dict[str, float]:
    known = [one.name for one in fields(kind)]
    for name, value in given.items():
        if name not in known:
            raise OptionError(f"unknown `{name}` in option `{option}`", hint=_near(name, known))
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 < value < float("inf"):
            raise OptionError(f"`{name}` in option `{option}` must be a number above 0, not {shown(value)}")
    return {name: float(value) for name, value in given.items()}


def _near(name: str, known: list[str]) -> str | None:
    """`latency` is short for `latency_ms`."""
    longer = [one for one in known if one.startswith(f"{name}_")]
    return f"did you mean `{longer[0]}`?" if longer else nearest(name, known)
