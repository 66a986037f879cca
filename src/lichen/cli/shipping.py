"""shipping: a value leaves the store: its files, its labels, how to run them, the proof that they answer."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lichen.cli import leaflet
from lichen.core import calling, step
from lichen.core.array import Array
from lichen.core.dataset import Dataset
from lichen.core.disk import disk_error
from lichen.core.errors import GateError, MachineError, UsageError, missing_package
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.session import Session
from lichen.core.value import size_text
from lichen.core.valuefile import read
from lichen.data import tokenizer
from lichen.engine import answer
from lichen.engine.inputs import feeds
from lichen.engine.language import continuing, ggufwriting, llamafolder, peftfolder
from lichen.engine.modules import backend
from lichen.engine.programs import executables, parity
from lichen.engine.training import supervised

TOLERANCE = 1e-5
"""The files hold the same arithmetic: only the order of sums may differ, as a share of the largest output."""
NUM_NOISE = 32
LOSES = {"gguf-f16": 0.001, "gguf-q8_0": 0.01, "gguf-q4_0": 0.1}
"""Formats that round weights: by so many nats a token may be told worse, on average."""
Answering = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What was written, and what the check said."""

    folder: Path
    format: str
    digest: str
    files: tuple[str, ...]
    checked: str

    def sizes(self) -> list[tuple[str, str]]:
        return [
            (str(self.folder / name), size_text((self.folder / name).stat().st_size)) for name in self.files
        ]

    def as_json(self) -> dict[str, Any]:
        return {"folder": str(self.folder), "format": self.format, "digest": self.digest,
                "files": list(self.files), "checked": self.checked}  # fmt: skip


def require_free(folder: Path, *, is_forced: bool) -> None:
    """Refuses a folder that holds files.

    Raises:
        UsageError: it does, or it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError("--out must be a folder; this is a file", where=str(folder))
    if folder.is_dir() and any(folder.iterdir()) and not is_forced:
        raise UsageError(
            "the folder to write to must be empty", where=str(folder), hint="--force writes into it"
        )


def pack(
    value: Model | Program,
    folder: Path,
    *,
    format: str | None,
    data: Dataset | None,
    session: Session,
    name: str,
) -> Parcel:
    """Writes into a folder beside the wanted one, checks what lies there, and moves it.

    Raises:
        UsageError: the value cannot be had in that format.
        GateError: what was written does not answer as the value.
        MachineError: disk full or no permission.
    """
    format = format or (value.format if isinstance(value, Program) else "onnx")
    shipped = _converted(value, format, data, session)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            answering, (rows_NCHW, named) = WRITERS[format](shipped, part), _rows(shipped, data)
            checked = _check(shipped, answering, rows_NCHW, named, LOSES.get(format))
            if format == "llama":
                assert isinstance(shipped, Model)
                checked += continuing.require_told(shipped, part, rows_NCHW)
            _write_words(shipped, part, format, f"{name} ({shipped.digest[:10]})", checked)
            files = tuple(sorted(path.name for path in part.iterdir()))
            folder.mkdir(exist_ok=True)
            for file in files:
                os.replace(part / file, folder / file)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise disk_error(error, folder) from error
    return Parcel(folder=folder, format=format, digest=shipped.digest, files=files, checked=checked)


def _converted(
    value: Model | Program, format: str, data: Dataset | None, session: Session
) -> Model | Program:
    """The value in a format that a runtime reads: by `deploy.export`, which checks it row by row."""
    if format == "lichen" or (isinstance(value, Program) and value.format == format):
        return value
    if format in ("safetensors", "llama", "peft", *GGUF):
        if isinstance(value, Program):
            raise UsageError(
                f"{format} holds the weights of a Model; this is a Program",
                hint=f"--format {value.format}, or export the Model that it was made from",
            )
        return value
    if feeds.are_paired(value.assets):
        raise UsageError(
            f"models that translate texts are not written as {format} yet",
            hint="--format safetensors, or lichen",
        )
    if data is None:
        raise UsageError("the data that an export is checked on are not here", hint=_where(value))
    one = step.by_address("deploy.export")
    made = calling.execute(one, calling.bind(one.signature, (value, data), {}), {"format": format}, session)
    assert isinstance(made, Program)
    return made


def _where(value: Model | Program) -> str:
    """Where the data come from that a value is checked on."""
    if "observation_shape" in value.assets:
        return "`decide.record` and `deploy.export` in its recipe; or --format safetensors or lichen"
    return "--data names them"


def _write_program(value: Model | Program, part: Path) -> Answering:
    assert isinstance(value, Program)
    value.write(part)
    files = {path.name: path.read_bytes() for path in part.iterdir()}
    found = executables.build(value, files, runtime=value.runtime, precision=value.precision)
    return lambda rows: answer.logits(found, rows)


def _write_lichen(value: Model | Program, part: Path) -> Answering:
    found = read(value.save(part / "model.lichen"))
    assert isinstance(found, Model | Program)
    return lambda images: answer.logits(found, images)


def _write_safetensors(value: Model | Program, part: Path) -> Answering:
    assert isinstance(value, Model)
    try:
        from safetensors.numpy import load_file
        from safetensors.torch import save_file
    except ImportError:
        raise missing_package("safetensors", "vision") from None
    tensors = {name: backend.tensor_of(array) for name, array in value.weights().items()}
    save_file(tensors, part / "model.safetensors", metadata={"net": str(value.net)})
    about = {
        "net": value.net,
        "options": dict(value.options),
        "task": value.task,
        "assets": dict(value.assets),
    }
    (part / "model.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    weights = {name: Array.of(array) for name, array in load_file(part / "model.safetensors").items()}
    found = Model.build(
        net=value.net, options=value.options, weights=weights, task=value.task, assets=value.assets
    )
    return lambda images: answer.logits(found, images)


def _write_llama(value: Model | Program, part: Path) -> Answering:
    assert isinstance(value, Model)
    llamafolder.write(value, part)
    found = llamafolder.read(part)
    return lambda rows: answer.logits(found, rows)


def _write_peft(value: Model | Program, part: Path) -> Answering:
    assert isinstance(value, Model)
    peftfolder.write(value, part)
    found = peftfolder.read(part, value)
    return lambda rows: answer.logits(found, rows)


def _write_gguf(kind: str) -> Callable[[Model | Program, Path], Answering]:
    def write(value: Model | Program, part: Path) -> Answering:
        assert isinstance(value, Model)
        ggufwriting.write(value, part / ggufwriting.NAME, kind)
        found = ggufwriting.read(part / ggufwriting.NAME, value)
        return lambda rows: answer.logits(found, rows)

    return write


GGUF = {"gguf": "f32", **{f"gguf-{kind}": kind for kind in ggufwriting.KINDS[1:]}}
"""Kinds of weights by format."""
WRITERS: dict[str, Callable[[Model | Program, Path], Answering]] = {
    "onnx": _write_program,
    "openvino": _write_program,
    "executorch": _write_program,
    "torch": _write_program,
    "lichen": _write_lichen,
    "safetensors": _write_safetensors,
    "llama": _write_llama,
    "peft": _write_peft,
    **{format: _write_gguf(kind) for format, kind in GGUF.items()},
}
"""Each writes a value's files into a folder, and answers from what it reads back there."""


def _check(
    value: Model | Program, answering: Answering, rows_NCHW: np.ndarray, rows: str, loses: float | None
) -> str:
    """What the comparison says.

    Args:
        rows: how many and whose.
        loses: nats a token, where weights are rounded; None: the same arithmetic.
    """
    wanted_NK, found_NK = answer.logits(value, rows_NCHW), answering(rows_NCHW)
    found_NK = found_NK.reshape(wanted_NK.shape)
    if loses is not None:
        return _lost(wanted_NK, found_NK, loses, rows)
    worst = float(np.abs(wanted_NK - found_NK).max()) / max(float(np.abs(wanted_NK).max()), 1e-12)
    if not worst <= TOLERANCE:
        raise GateError(
            f"what was written must answer as the value; on {rows} it differs by {worst:.3g} of the "
            "largest output",
            hint="nothing was kept",
        )
    return f"answers as the value on {rows}" + (
        f", to {worst:.1g} of the largest output" if worst else ", bit by bit"
    )


def _lost(wanted_NT: np.ndarray, found_NT: np.ndarray, loses: float, rows: str) -> str:
    """What rounding cost, of losses of tokens; places where none is told are negative.

    Raises:
        GateError: more than it may.
    """
    is_told_NT = wanted_NT >= 0
    lost = float((found_NT - wanted_NT)[is_told_NT].mean(dtype=np.float64))
    if not lost <= loses:
        raise GateError(
            f"rounded weights cannot tell {rows} as the value does: a token costs {lost:.4f} nats"
            f" more, {loses:g} at most", hint="--format gguf-q8_0, or gguf, which rounds nothing",
        )  # fmt: skip
    return f"tells {rows} to {lost:+.4f} nats a token of the value"


def _rows(value: Model | Program, data: Dataset | None) -> tuple[np.ndarray, str]:
    """The rows that gates ask about, as the value takes them, or noise where the data are gone."""
    try:
        if data is not None:
            rows = feeds.rows_of(data, parity.judging_split(data), value.assets)
            return supervised.whole(rows, value.assets), f"{rows.num_rows} rows of {rows.split}"
    except MachineError:
        pass
    return _noise(value), f"{NUM_NOISE} rows of noise (the data are not here)"


def _noise(value: Model | Program) -> np.ndarray:
    """Pixels, tokens or normal numbers, as the value takes them."""
    blank, draws = feeds.blank(value.assets), np.random.default_rng(0)
    if blank.dtype == np.float32:
        return draws.standard_normal((NUM_NOISE, *blank.shape), np.float32)
    high = feeds.in_shape(value.assets)[1] if feeds.reads_texts(value.assets) else 256
    return draws.integers(0, high, (NUM_NOISE, *blank.shape), dtype=blank.dtype)


def _write_words(value: Model | Program, part: Path, format: str, name: str, checked: str) -> None:
    labels = value.assets.get("labels")
    if labels is not None:
        (part / "labels.json").write_text(json.dumps(labels, ensure_ascii=False), encoding="utf-8")
    if "encoder" in value.assets and format != "lichen":
        told = json.dumps(value.assets["encoder"], ensure_ascii=False)
        (part / "encoder.json").write_text(told, encoding="utf-8")
    if feeds.reads_texts(value.assets) and isinstance(value, Program) and format != "lichen":
        written = tokenizer.written(value.assets["tokenizer"])
        (part / "tokenizer.json").write_text(written, encoding="utf-8")
    (part / "README.txt").write_text(leaflet.of(value, format, name, checked), encoding="utf-8")
