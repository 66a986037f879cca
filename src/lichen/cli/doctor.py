"""doctor: says of Python, packages, processor, store and data whether they are fit, and what mends them.

Versions come from metadata; whether the heavy packages import is asked in a process of its own.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lichen.core import machine
from lichen.core.errors import LichenError
from lichen.core.store import FOLDER, find_folder
from lichen.core.value import size_text

OLDEST_PYTHON = (3, 11)
IMPORTED = {"torch": "torch", "torchvision": "torchvision", "timm": "timm", "onnxruntime": "onnxruntime",
            "openvino": "openvino", "nncf": "nncf", "onnx": "onnx",
            "executorch": "executorch.runtime"}  # fmt: skip
"""Packages whose import is tried, and as what: those that break when their versions do not fit."""
PROBE = """
import importlib, json, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name); said = ""
    except BaseException as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0]
    print("\\n" + json.dumps([name, said]), flush=True)
"""
IMPORT_LIMIT_S = 180.0
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
LOW_BYTES = 2_000_000_000
SPEEDS = (
    ("bfloat16", ("avx512_bf16", "amx_bf16", "sve"), "training and OpenVINO may use it: about twice as fast",
     "emulated and slow here, so float32 is chosen"),
    ("int8", ("avx512_vnni", "avx_vnni", "amx_int8", "asimd"), "quantized programs gain most here",
     "weights are narrowed to 7 bits, and gains are small"),
)  # fmt: skip
"""What each kind of arithmetic needs of the processor, what it means to have it, and not to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line: `state` is ok, warn or fail."""

    state: str
    subject: str
    says: str
    fix: str | None = None

    def __str__(self) -> str:
        return f"{self.state:4s}  {self.subject:12s}  {self.says}" + (
            f"\n      fix: {self.fix}" if self.fix else ""
        )


def examine(*, asks_network: bool = False) -> list[Finding]:
    """Every finding, in the order in which things build on each other."""
    found = [_python(), *_packages(), *_processor(), _store(), _free(), _data()]
    return [*found, _hub()] if asks_network else found


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        return Finding(state="fail", subject="Python", says=version, fix="install Python 3.11 or newer")
    return Finding(state="ok", subject="Python", says=f"{version} at {sys.executable}")


def _packages() -> Iterator[Finding]:
    versions = {name: _version(name) for name in IMPORTED}
    said = imports([module for name, module in IMPORTED.items() if versions[name]])
    for name in IMPORTED:
        if versions[name] and (error := said.get(IMPORTED[name])):
            yield _broken(name, str(versions[name]), error, str(versions.get("torch")))
        elif versions[name]:
            yield Finding(state="ok", subject=name, says=str(versions[name]))
    yield from _extras()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _needed() -> dict[str, list[str]]:
    """The packages of each extra by `lichen`'s metadata; those under the empty name are always needed."""
    try:
        lines = importlib.metadata.requires("lichen") or []
    except importlib.metadata.PackageNotFoundError:
        return {"": ["torch", "numpy", "pyyaml", "safetensors"]}
    found: dict[str, list[str]] = {}
    for line in lines:
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        package = re.split(r"[\s<>=!~;\[(]", line, maxsplit=1)[0]
        found.setdefault(extra[1] if extra else "", []).append(package)
    return found


def _extras() -> Iterator[Finding]:
    """Which extras are installed whole; what is missing is no fault, only something that cannot be done."""
    for extra, packages in _needed().items():
        missing = [package for package in packages if _version(package) is None]
        subject, wanted = (f"[{extra}]", f"lichen[{extra}]") if extra else ("required", "lichen")
        if missing and extra != "dev":
            yield Finding(
                state="warn" if extra else "fail",
                subject=subject,
                says=f"not installed: {', '.join(missing)}",
                fix=f"pip install '{wanted}'",
            )
        elif extra != "dev":
            yield Finding(
                state="ok", subject=subject, says=", ".join(f"{name} {_version(name)}" for name in packages)
            )


def _broken(name: str, version: str, error: str, torch: str) -> Finding:
    fix = f"pip install --force-reinstall {name}"
    if name in ("torchvision", "timm") and (
        "::nms" in error or "torchvision" in error or "undefined symbol" in error
    ):
        fix = (
            f"torch {torch} and torchvision are of different builds: pip install --force-reinstall both, "
            f"from one index (CPU only: --index-url {CPU_INDEX})"
        )
    return Finding(state="fail", subject=name, says=f"{version} does not import: {error}", fix=fix)


def imports(modules: list[str]) -> dict[str, str]:
    """What each module's import said in a fresh process; empty where it went well."""
    said: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        try:
            done = subprocess.run(
                [sys.executable, "-c", PROBE, *waiting],
                capture_output=True,
                text=True,
                check=False,
                timeout=IMPORT_LIMIT_S,
            )
            lines, end = done.stdout, f"the process ended with {done.returncode}"
        except subprocess.TimeoutExpired as error:
            lines, end = str(error.stdout or ""), f"no end after {IMPORT_LIMIT_S:.0f} s"
        said.update(json.loads(line) for line in lines.splitlines() if line.startswith("["))
        waiting = [name for name in waiting if name not in said]
        if waiting:  # the first of them took the process down
            said[waiting.pop(0)] = end
    return said


def _processor() -> Iterator[Finding]:
    facts = machine.environment()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    busy = machine.is_busy()
    yield Finding(
        state="warn" if busy else "ok",
        subject="processor",
        says=f"{facts['cpu']}, {facts['cores']} cores{load}",
        fix="others keep it busy: times measured now are marked ~" if busy else None,
    )
    for name, flags, with_it, without in SPEEDS:
        found = [flag for flag in flags if flag in facts["flags"]]
        says = f"{', '.join(found)}: {with_it}" if found else f"no {' or '.join(flags[:2])}: {without}"
        yield Finding(state="ok", subject=name, says=says)
    told = " ".join(f"{name}={os.environ[name]}" for name in THREADS if name in os.environ)
    says = f"1 or {facts['cores']}, chosen for each net by measuring" if facts["cores"] > 1 else "1"
    yield Finding(
        state="ok", subject="threads", says=says + (f"; {told} is set, and holds elsewhere" if told else "")
    )


def _store() -> Finding:
    folder = find_folder()
    if folder is None or not folder.is_dir():
        place = folder.parent if folder else Path.cwd()
        return _writable(place, f"none yet; `lichen run` makes {folder or place / FOLDER}")
    if not os.access(folder, os.W_OK):
        return Finding(state="warn", subject="store", says=f"{folder} is read-only: results are not kept",
                       fix="chmod it, or --store another")  # fmt: skip
    try:
        from lichen.core.store import Store

        Store(folder).close()
    except LichenError as error:
        return Finding(
            state="fail",
            subject="store",
            says=f"{folder}: {error.message}",
            fix=error.hint or "lichen store check",
        )
    return _writable(folder, str(folder))


def _writable(folder: Path, says: str) -> Finding:
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            return Finding(state="ok", subject="store", says=says)
    except OSError as error:
        return Finding(state="fail", subject="store", says=f"{folder} cannot be written: {error.strerror}",
                       fix="chmod it, free space, or --store another folder")  # fmt: skip


def _free() -> Finding:
    place = find_folder() or Path.cwd()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    is_low = free < LOW_BYTES
    return Finding(
        state="warn" if is_low else "ok",
        subject="disk",
        says=f"{size_text(free)} free at {place}",
        fix="lichen store gc --dry-run says what can go" if is_low else None,
    )


def _data() -> Finding:
    folder = os.environ.get("LICHEN_DATA")
    if not folder:
        return Finding(
            state="ok",
            subject="LICHEN_DATA",
            says="not set: data are looked for in the working folder and the hub",
        )
    if not Path(folder).is_dir() or not os.access(folder, os.R_OK):
        return Finding(state="fail", subject="LICHEN_DATA", says=f"{folder} is no folder that can be read",
                       fix="unset LICHEN_DATA, or point it at one")  # fmt: skip
    return Finding(
        state="ok", subject="LICHEN_DATA", says=f"{folder}, {sum(1 for _ in Path(folder).iterdir())} entries"
    )


def _hub() -> Finding:
    """Whether the hub answers, proxies and mirrors (HF_ENDPOINT) included."""
    from urllib import error, request

    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        request.urlopen(request.Request(address, method="HEAD"), timeout=10).close()
    except error.HTTPError as refused:
        return Finding(state="ok", subject="hub", says=f"{address} answers {refused.code}")
    except OSError as failure:
        return Finding(
            state="warn",
            subject="hub",
            says=f"{address} cannot be reached: {getattr(failure, 'reason', failure)}",
            fix="what is here already is used without it; HF_ENDPOINT names a mirror",
        )
    return Finding(state="ok", subject="hub", says=f"{address} answers")
