"""hostile: inputs made wrong in every way, and children that read them while someone watches.

A case is a kind and a number: `changed(kind, number)` gives the same bytes on every machine, so what a
failure prints is enough to see it again. Cases run in forked children, because what reads pictures, tables
and graphs is native code: a crash of it is the death of a child, noticed with the case it had begun.
"""

from __future__ import annotations

import faulthandler
import gc
import io
import json
import lzma
import os
import random
import resource
import select
import signal
import struct
import time
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lichen.core.errors import LichenError

HANG_S = 5.0
DEAF_S = 8.0
"""A child that native code holds does not hear its alarm; after so long it is killed."""
ROOM_BYTES = 4 << 30
"""What a case may map beyond what the child already has: a bomb is refused by its header, not by luck."""


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    `corpus` are valid inputs, `change` makes one wrong, `read` is the door of the product that takes it: it
    returns, or raises a LichenError. `speaks` is what every message must hold: the input's name.
    """

    name: str
    corpus: Sequence[bytes]
    change: Callable[[random.Random, bytes], bytes]
    read: Callable[[bytes], None]
    speaks: str = ""


@dataclass
class Found:
    """What a run of cases came to."""

    num_cases: int = 0
    num_refused: int = 0
    slowest_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


def changed(kind: Kind, number: int) -> bytes:
    """The input of a case."""
    rng = random.Random(f"{kind.name}:{number}")
    data = kind.corpus[rng.randrange(len(kind.corpus))]
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        data = kind.change(rng, data)
    return data


class Slow(BaseException):
    """A case ran longer than it may; no `except Exception` of the product hides it."""


def run(kind: Kind, numbers: range, *, until: float | None = None) -> Found:
    """Runs cases in children, each taking over after the case that killed the one before."""
    found = Found()
    start = numbers.start
    while start < numbers.stop and not (until and time.monotonic() > until):
        start = _child(kind, range(start, numbers.stop), found, until)
    return found


def _child(kind: Kind, numbers: range, found: Found, until: float | None) -> int:
    """Lets one child run cases from the first; returns the number to go on with."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _cases(kind, numbers, writing, until)
    os.close(writing)
    begun, is_whole, rest = numbers.start, False, b""
    while True:
        ready, _, _ = select.select([reading], [], [], DEAF_S)
        chunk = os.read(reading, 1 << 16) if ready else b""
        if not chunk:
            break
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            said = json.loads(line)
            begun = said.get("begun", begun)
            found.num_cases += "took" in said
            found.num_refused += said.get("refused", False)
            found.slowest_s = max(found.slowest_s, said.get("took", 0.0))
            found.wrong += [f"{kind.name} {begun}: {said['wrong']}"] if "wrong" in said else []
            is_whole |= "end" in said
    if not ready:
        os.kill(pid, signal.SIGKILL)
    os.close(reading)
    _, status = os.waitpid(pid, 0)
    if is_whole:
        return numbers.stop
    what = "hangs in native code" if not ready else f"kills the process (status {status})"
    found.wrong.append(f"{kind.name} {begun}: {what}")
    found.num_cases += 1
    return begun + 1


def _cases(kind: Kind, numbers: range, out: int, until: float | None) -> None:
    """The child: says what it begins and how it ended, and leaves without anyone's clean-up."""
    status = 1
    try:
        gc.disable()
        faulthandler.disable()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nowhere, number)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + ROOM_BYTES, used + ROOM_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGALRM, _alarm)
        warnings.simplefilter("ignore")  # Pillow's and torch's, which a user sees and pytest would raise
        for number in numbers:
            if until and time.monotonic() > until:
                break
            _say(out, begun=number)
            _say(out, **_one(kind, number))
        _say(out, end=True)
        status = 0
    finally:
        os._exit(status)


def _alarm(*_: Any) -> None:
    raise Slow


def _one(kind: Kind, number: int) -> dict[str, Any]:
    began = time.perf_counter()
    said: dict[str, Any] = {}
    try:
        data = changed(kind, number)
        signal.setitimer(signal.ITIMER_REAL, HANG_S)
        began = time.perf_counter()
        said = _refused(kind, data)
    except Slow:
        said = {"wrong": f"takes longer than {HANG_S:g} s"}
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        last = traceback.extract_tb(error.__traceback__)[-4:]
        at = " < ".join(f"{Path(one.filename).name}:{one.lineno}" for one in reversed(last))
        said = {"wrong": f"{type(error).__name__}: {str(error)[:200]} at {at}"}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return {**said, "took": round(time.perf_counter() - began, 3)}


def _refused(kind: Kind, data: bytes) -> dict[str, Any]:
    try:
        kind.read(data)
    except LichenError as error:
        text = str(error)
        if not error.message.strip() or error.exit_code == 70:
            return {"wrong": f"an error says nothing: {text!r}"}
        if kind.speaks not in text:
            return {"wrong": f"an error does not name its input: {text!r}"}
        return {"refused": True}
    return {}


def _say(out: int, **said: Any) -> None:
    os.write(out, json.dumps(said).encode() + b"\n")


# How inputs are made wrong.

NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    8,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
)


def bytes_changed(rng: random.Random, data: bytes) -> bytes:
    """Bits, bytes, cuts, splices and numbers in the places of lengths."""
    if not data:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(1, 40)))
    made = bytearray(data)
    place = rng.randrange(len(made))
    what = rng.randrange(9)
    if what == 0:
        made[place] ^= 1 << rng.randrange(8)
    elif what == 1:
        made[place] = rng.randrange(256)
    elif what == 2:
        del made[place:]
    elif what == 3:
        del made[place : place + rng.randrange(1, 20)]
    elif what == 4:
        made[place:place] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 20)))
    elif what == 5:
        other = rng.randrange(len(made))
        made[place:place] = made[other : other + rng.randrange(1, 200)]
    elif what in (6, 7):
        form = rng.choice(("B", "<H", ">H", "<I", ">I", "<Q", ">Q"))
        number = rng.choice(NUMBERS) % (1 << 8 * struct.calcsize(form))
        place = rng.choice(
            (place, rng.randrange(min(len(made), 64)), max(0, len(made) - rng.randrange(1, 64)))
        )
        made[place : place + struct.calcsize(form)] = struct.pack(form, number)
    else:
        for _ in range(rng.randrange(2, 12)):
            made[rng.randrange(len(made))] = rng.randrange(256)
    return bytes(made)


TEXTS = (
    "",
    " ",
    "..",
    "/",
    "../../x",
    "/etc/passwd",
    "a:b",
    "os:system",
    "\0",
    "\ud800",
    "$x",
    "$",
    "null",
    "x" * 300,
    "é",
    "9" * 5000,
    "-1",
    "1e400",
    "nan",
    "float32",
    "int8",
    "complex64",
    "blob",
    "0" * 64,
    "prepare.load",
    "%s%n",
    "{}",
    "digits",
)


def thing(rng: random.Random, depth: int = 0) -> Any:
    """Any JSON."""
    what = rng.randrange(8 if depth < 2 else 6)
    if what == 0:
        return None
    if what == 1:
        return rng.choice((True, False))
    if what == 2:
        return rng.choice((*NUMBERS, -1, -(2**63), 10**400))
    if what == 3:
        return rng.choice((0.5, -0.0, 1e308, 5e-324, float("inf"), float("nan")))
    if what in (4, 5):
        return rng.choice(TEXTS)
    if what == 6:
        return [thing(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(TEXTS): thing(rng, depth + 1) for _ in range(rng.randrange(4))}


def json_changed(rng: random.Random, whole: Any) -> Any:
    """The same JSON with one place of it other, gone, doubled or swapped."""
    places = list(_places(whole))
    if not places:
        return thing(rng)
    holder, key = rng.choice(places)
    what = rng.randrange(6)
    if what == 0:
        del holder[key]
    elif what == 1 and isinstance(holder, dict):
        holder[rng.choice(TEXTS)] = holder[key]
    elif what == 2:
        other, place = rng.choice(places)
        if other[place] is not holder and holder[key] is not other:
            holder[key] = json.loads(json.dumps(other[place]))
    elif what == 3 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        holder[key] = rng.choice((holder[key] + 1, -holder[key], holder[key] * 2, rng.choice(NUMBERS), 0))
    else:
        holder[key] = thing(rng)
    return whole


def _places(whole: Any) -> Iterator[tuple[Any, Any]]:
    items = whole.items() if isinstance(whole, dict) else enumerate(whole) if isinstance(whole, list) else ()
    for key, part in list(items):
        yield whole, key
        yield from _places(part)


WORDS = (
    "!!python/object/apply:os.system [id]",
    "!!int ''",
    "!!binary aGk=",
    "&a",
    "*a",
    "? {}",
    "[",
    "]",
    "{",
    "}",
    "- ",
    ": ",
    ", ",
    "|",
    ">",
    "#",
    "'",
    '"',
    "\t",
    "\n",
    "\n\n",
    "  ",
    "\r",
    "\0",
    "\ufeff",
    "\u2028",
    "%YAML 1.1\n---\n",
    "---\n",
    "...\n",
    "<<: ",
    "=",
    "~",
    "null",
    "true",
    "yes",
    "0x_",
    "0b_",
    "0x" + "f" * 5000,
    "1" * 4000,
    "1" * 5000,
    "1:30:59",
    "._",
    ".inf",
    "-.inf",
    ".nan",
    "1e999",
    "1" + "0" * 400,
    "2020-01-01",
    "2020-99-99",
    "2001-12-14t21:59:43.10-05:00",
    "\\x00",
    '"\\0"',
    '"\\ud800"',
    "$a",
    "$",
    "$.",
    "as: x",
    "as: [1]",
    "lichen: 2",
    "data: {}",
    "data: ~",
    "steps: {}",
    "steps:",
    "name: ../x",
    "studies:\n  - ablate: {}\n",
    "environment: x",
    "a:b",
    "os:system",
    "../x.y",
    "nets",
    "compress.prune",
    "epochs",
    "- compress.prune: {speedup: 2}\n",
    "[[[[[[[[",
    "{{{{{{{{",
    "é",
    "x" * 2000,
)


def text_changed(rng: random.Random, data: bytes) -> bytes:
    """YAML with words, lines and characters moved, doubled, dropped and put in."""
    text = data.decode("utf-8", "surrogateescape")
    lines = text.splitlines(keepends=True) or [""]
    row, place = rng.randrange(len(lines)), rng.randrange(len(text) + 1)
    what = rng.randrange(9)
    if what in (0, 1, 2):
        text = text[:place] + rng.choice(WORDS) + text[place + rng.choice((0, 0, 1, 5)) :]
    elif what == 3:
        lines[row] = rng.choice((" ", "   ", "\t", "")) + lines[row].lstrip()
        text = "".join(lines)
    elif what == 4:
        lines.insert(rng.randrange(len(lines)), lines[row])
        text = "".join(lines)
    elif what == 5:
        del lines[row]
        text = "".join(lines)
    elif what == 6:
        words = text.split(" ")
        words[rng.randrange(len(words))] = rng.choice(WORDS)
        text = " ".join(words)
    elif what == 7:
        words = text.split(":")
        words[rng.randrange(len(words))] = " " + rng.choice(WORDS)
        text = ":".join(words)
    else:
        return bytes_changed(rng, data)
    return text.encode("utf-8", "surrogatepass" if "\ud800" in text else "surrogateescape")


def zip_changed(rng: random.Random, data: bytes) -> bytes:
    """A zip with entries renamed, doubled, dropped, compressed, or with other JSON; its sums are right."""
    if rng.random() < 0.25:
        return bytes_changed(rng, data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        RuntimeError,
        ValueError,
        OSError,
        EOFError,
        MemoryError,
    ):
        return bytes_changed(rng, data)
    if not entries:
        return data
    place = rng.randrange(len(entries))
    name, held = entries[place]
    how, mode = zipfile.ZIP_STORED, 0o644
    what = rng.randrange(10)
    if what == 0:
        name = rng.choice((*TEXTS, "../" + name, "/" + name, name + "/", "blobs/../" + name))
    elif what == 1:
        entries.append((name, held))
    elif what == 2:
        held = bytes_changed(rng, held)
    elif what == 3:
        how, mode = rng.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)), 0o120777
    else:
        chosen = [spot for spot, (other, _) in enumerate(entries) if other.endswith(".json")]
        if chosen:
            place = rng.choice(chosen)
            name, held = entries[place]
            held = _json_bytes_changed(rng, held)
    entries[place] = (name, held)
    if what >= 7:
        entries = [(other, b"null" if other == "lineage.json" else kept) for other, kept in entries]
    return zipped(entries, how, mode)


def zipped(entries: Sequence[tuple[str, bytes]], how: int = zipfile.ZIP_STORED, mode: int = 0o644) -> bytes:
    file = io.BytesIO()
    with _quiet_zip(file) as archive:
        for name, held in entries:
            info = zipfile.ZipInfo("x", (1980, 1, 1, 0, 0, 0))
            info.filename = name.encode("utf-8", "replace").decode()
            info.compress_type, info.external_attr = how, mode << 16
            archive.writestr(info, held)
    return file.getvalue()


@contextmanager
def _quiet_zip(file: io.BytesIO) -> Iterator[zipfile.ZipFile]:
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")  # two entries of one name are what is wanted
        yield archive


def _json_bytes_changed(rng: random.Random, data: bytes) -> bytes:
    try:
        whole = json.loads(data)
    except (ValueError, RecursionError):
        return bytes_changed(rng, data)
    if rng.random() < 0.02:
        return b"[" * 100_000
    return json.dumps(json_changed(rng, whole)).encode()


def safetensors_changed(rng: random.Random, data: bytes) -> bytes:
    """A safetensors file whose header says something else, its length right or wrong."""
    if rng.random() < 0.35 or len(data) < 8:
        return bytes_changed(rng, data)
    (length,) = struct.unpack("<Q", data[:8])
    try:
        header = json.loads(data[8 : 8 + length])
    except ValueError:
        return bytes_changed(rng, data)
    text = json.dumps(json_changed(rng, header)).encode()
    said = len(text) if rng.random() < 0.9 else rng.choice(NUMBERS)
    return struct.pack("<Q", said) + text + data[8 + length :]
