"""machine: what of this computer can change a result's bits, and what names its measurements."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from lichen.core.digest import digest_json

TELLING_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_bf16",
    "avx512_vnni",
    "avx_vnni",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "sve",
)


@lru_cache
def environment() -> dict[str, Any]:
    """CPU family, cores, system and Python: equal environments promise equal bits."""
    system = os.uname()
    return {**_cpu(), "cores": num_cores(), "system": system.sysname, "machine": system.machine,
            "python": ".".join(map(str, sys.version_info[:2]))}  # fmt: skip


@lru_cache
def fingerprint() -> str:
    """The name under which this machine's decisions and costs are remembered."""
    return name_of(environment())


def name_of(environment: Mapping[str, Any]) -> str:
    return digest_json(environment)[:16]


def num_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def is_busy() -> bool:
    """Whether others keep this machine's cores occupied, so that timings are to be distrusted."""
    return os.getloadavg()[0] > num_cores() + 0.5 if hasattr(os, "getloadavg") else False


def _cpu() -> dict[str, Any]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = dict(
                line.split(":", 1) for line in file.read().split("\n\n")[0].splitlines() if ":" in line
            )
    except OSError:
        import platform

        return {"cpu": platform.processor() or os.uname().machine, "flags": []}
    facts = {key.strip(): text.strip() for key, text in lines.items()}
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    return {
        "cpu": facts.get("model name", os.uname().machine),
        "family": facts.get("cpu family", ""),
        "model": facts.get("model", ""),
        "flags": [flag for flag in TELLING_FLAGS if flag in flags],
    }
