"""pretrained: someone's weights out of their file into a net of ours, tensor by tensor.

Tensors are matched by name (a body's without its prefix, a head by the names that heads have), or, where the
names are another library's, by order: then every shape must agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from lichen.core.digest import digest_file
from lichen.core.errors import DataError, UnsafeInputError, UsageError
from lichen.engine.modules import quarantine

HEADS = ("head", "fc", "linear", "classifier", "_fc", "head.fc", "head.l")
"""What the last layer is called here and in the libraries that weights come from."""
COUNTER = "num_batches_tracked"
"""Older files lack batch-norm's counters; nothing is computed from them."""
KNOWN_PICKLES = {"579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
                 "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"}  # fmt: skip
"""SHA-256 of files in torch's old format that are known to hold tensors only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Tensors by the names of their file, in its order, and what the file says about them."""

    tensors: Mapping[str, Tensor]
    notes: Mapping[str, str]


def read(path: Path) -> Weights:
    """The tensors of a file: safetensors, or one pickle whose bytes are known.

    Raises:
        UnsafeInputError: any other pickle; loading it could run code.
        DataError: it is not a file of weights.
    """
    if path.suffix.lower() in (".pth", ".pt", ".bin", ".ckpt", ".pkl"):
        return Weights(tensors=_unpickled(path), notes={})
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return Weights(tensors={name: file.get_tensor(name) for name in file.offset_keys()},
                           notes=file.metadata() or {})  # fmt: skip
    except (SafetensorError, OSError, ValueError, TypeError, LookupError, RuntimeError, AttributeError,
            OverflowError, MemoryError) as error:  # fmt: skip
        if _looks_pickled(path):
            raise UnsafeInputError(
                "weights must be safetensors; this is a pickle, whatever its name says, and was not opened",
                where=str(path), hint="save them with safetensors.torch.save_file where you trust the file",
            ) from None  # fmt: skip
        raise DataError(f"weights must be a safetensors file: {error}", where=str(path)) from None


def _looks_pickled(path: Path) -> bool:
    """By its first bytes: a zip as torch writes, or a pickle of protocol 2 to 5."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError:
        return False
    return head == b"PK\x03\x04" or (head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5" and len(head) > 1)


def _unpickled(path: Path) -> dict[str, Tensor]:
    """A pickle whose bytes are known, read in quarantine even so."""
    if digest_file(path) not in KNOWN_PICKLES:
        raise UnsafeInputError(
            "weights must be safetensors: a pickle can run code when it is opened", where=str(path),
            hint="save them with safetensors.torch.save_file where you trust the file",
        )  # fmt: skip
    return quarantine.tensors(path)


def matched(weights: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """The file's tensor for each of the module's; those of the head are left out where their shape differs.

    Raises:
        UsageError: a tensor of the body is missing, has another shape, or is left over; names it.
    """
    own = module.state_dict()
    by_name = {name: weights[key] for name in own if (key := _key(name, weights)) is not None}
    missing = [
        name for name in own if name not in by_name and not name.startswith("head.") and COUNTER not in name
    ]
    found = _by_order(weights, own) if len(missing) > len(own) // 2 else by_name
    if found is by_name and missing:
        raise UsageError(f"the weights have no tensor `{missing[0]}`, which the net needs",
                         hint="are they of this net?")  # fmt: skip
    if found is by_name:
        _require_used(weights, module)
    fitting = {name: _narrowed(tensor, own[name].shape) for name, tensor in found.items()}
    for name, tensor in fitting.items():
        if tensor.shape != own[name].shape and not name.startswith("head."):
            raise UsageError(
                f"tensor `{name}` has the shape {list(tensor.shape)}; the net takes {list(own[name].shape)}",
                hint="the net's options are not those that the weights were made with",
            )
    return {name: tensor for name, tensor in fitting.items() if tensor.shape == own[name].shape}


def _key(name: str, weights: Mapping[str, Tensor]) -> str | None:
    """What a file may call a tensor of ours."""
    stem, _, leaf = name.rpartition(".")
    names = [f"{head}.{leaf}" for head in HEADS] if stem == "head" else [name, name.removeprefix("body.")]
    return next((key for key in names if key in weights), None)


def _require_used(weights: Mapping[str, Tensor], module: nn.Module) -> None:
    """Refuses tensors that the net has no place for in a part that it has: half a net would answer.

    Parts that it does not have at all, such as poolers and second heads, may stay unused.

    Raises:
        UsageError: there is such a tensor; names it.
    """
    used = {_key(name, weights) for name in module.state_dict()}
    # Some libraries keep in their files what a net computes anew, such as indices of relative positions.
    computed = {name.removeprefix("body.") for name, _ in module.named_buffers()}
    parts = {_part(name) for name in (*module.state_dict(), *computed)} - {_part(head) for head in HEADS}
    for name in weights:
        is_told = name in used or name.removeprefix("body.") in computed or COUNTER in name
        if not is_told and _part(name) in parts:
            raise UsageError(f"the net has no place for the weights' tensor `{name}`",
                             hint="its depth, or another option, is not theirs")  # fmt: skip


def _part(name: str) -> str:
    """The top part of a net that a tensor is of; the numbered parts of a sequence are one."""
    top = name.removeprefix("body.").partition(".")[0]
    return "" if top.isdecimal() else top


def _by_order(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    theirs = [tensor for name, tensor in weights.items() if COUNTER not in name]
    names = [name for name in own if COUNTER not in name]
    if len(theirs) != len(names):
        raise UsageError(
            f"the weights are of another net: {len(theirs)} tensors, and the net has {len(names)}"
        )
    return dict(zip(names, theirs, strict=True))


def _narrowed(tensor: Tensor, shape: torch.Size) -> Tensor:
    """A first convolution of three channels for one: a grey picture is three equal ones."""
    if tensor.ndim == 4 and tensor.shape[1] == 3 and shape == (tensor.shape[0], 1, *tensor.shape[2:]):
        return tensor.sum(1, keepdim=True)
    return tensor
