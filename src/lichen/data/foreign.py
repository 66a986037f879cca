"""foreign: tokenizers that others learnt, with the models that were trained through them.

Two forms: `file`, what the library writes (`tokenizer.json`), and `pieces`, a list of pieces whose order is
that in which they are put together, as SentencePiece learns them: `<s>` and `</s>` stand apart, `<0x0A>` is a
byte, and a text begins with a space.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lichen.core.errors import DataError, UsageError, missing_package
from lichen.data.files import read_bytes

KINDS = ("file", "pieces")
BYTE = re.compile("<0x([0-9A-F]{2})>")
SPACE = "\u2581"
"""What SentencePiece writes for a space."""
APART = ("<unk>", "<s>", "</s>")


@dataclass(frozen=True, slots=True, eq=False)
class Foreign:
    """Of a tokenizer: the library's object, what each number stands for, and those that bound texts."""

    backend: Any
    bytes_of: Sequence[bytes]
    end: int
    stops: frozenset[int]
    num_before: int = 0
    """Bytes before every text: pieces begin with a space."""


def asset_of(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """The asset of the tokenizer beside a model, read from its folder.

    Args:
        config: the model's; names the tokens that bound texts.

    Raises:
        DataError: there is none that can be read.
    """
    bounds = {"end": _first(config.get("bos_token_id")), "stops": _all(config.get("eos_token_id"))}
    if (path := folder / "tokenizer.json").is_file():
        return {"kind": "file", "file": _json(path), **bounds}
    for path in sorted(folder.glob("vocab*.json")):
        pieces = _json(path)
        if isinstance(pieces, list) and all(isinstance(one, dict) and "piece" in one for one in pieces):
            names = [str(one["piece"]) for one in pieces]
            return {"kind": "pieces", "pieces": [*APART, *names[len(APART) :]], **bounds}
    raise DataError("a model must lie beside its tokenizer", where=str(folder), hint="tokenizer.json")


def _json(path: Path) -> Any:
    try:
        return json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"a tokenizer must be JSON: {error}", where=str(path)) from None


def _first(ids: Any) -> int:
    return _all(ids)[0] if _all(ids) else 0


def _all(ids: Any) -> list[int]:
    """Token numbers, of which a configuration names one, several or none."""
    given = ids if isinstance(ids, list) else [ids]
    return [number for number in given if isinstance(number, int)]


def of(asset: Mapping[str, Any], letters: Sequence[str]) -> Foreign:
    """The tokenizer of an asset.

    Args:
        letters: the character by which byte-level tokenizers write each byte.

    Raises:
        ValueError: the asset describes none.
        UsageError: its number 0, which fills rows up, says something.
    """
    found = _read(asset, letters)
    if found.bytes_of[0]:
        raise UsageError(
            f"number 0 of a tokenizer must stand for no text, as it fills rows up; here it says "
            f"{found.bytes_of[0]!r}"
        )
    return found


def _read(asset: Mapping[str, Any], letters: Sequence[str]) -> Foreign:
    end, stops = int(asset["end"]), frozenset(int(number) for number in [asset["end"], *asset["stops"]])
    if asset["kind"] == "pieces":
        pieces = [str(piece) for piece in asset["pieces"]]
        return Foreign(_of_pieces(pieces), [_bytes(piece) for piece in pieces], end, stops, num_before=1)
    try:
        backend = package().Tokenizer.from_str(json.dumps(asset["file"]))
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        raise ValueError(str(error)[:200]) from None
    backend.no_truncation()
    backend.no_padding()
    words = {number: word for word, number in backend.get_vocab(with_added_tokens=True).items()}
    apart = {number for number, added in backend.get_added_tokens_decoder().items() if added.special}
    is_of_bytes = "ByteLevel" in json.dumps(asset["file"].get("decoder"))
    byte_of = {letter: byte for byte, letter in enumerate(letters)}
    found = []
    for number in range(max(words) + 1):
        word = "" if number in apart else words.get(number, "")
        is_written = is_of_bytes and set(word) <= byte_of.keys()
        found.append(bytes(byte_of[letter] for letter in word) if is_written else _bytes(word))
    return Foreign(backend, found, end, stops)


def _bytes(piece: str) -> bytes:
    if piece in APART:
        return b""
    if byte := BYTE.fullmatch(piece):
        return bytes([int(byte[1], 16)])
    return piece.replace(SPACE, " ").encode()


def _of_pieces(pieces: Sequence[str]) -> Any:
    """Pairs are put together in the order of what they make, wherever a piece can be cut into two others."""
    library = package()
    number = {piece: place for place, piece in enumerate(pieces)}
    merges = [
        (piece[:cut], piece[cut:])
        for piece in pieces if piece not in APART and not BYTE.fullmatch(piece)
        for cut in range(1, len(piece)) if piece[:cut] in number and piece[cut:] in number
    ]  # fmt: skip
    made = library.Tokenizer(library.models.BPE(
        vocab=number, merges=merges, unk_token=APART[0], byte_fallback=True, fuse_unk=True))  # fmt: skip
    made.normalizer = library.normalizers.Prepend(SPACE if SPACE in "".join(pieces) else " ")
    if SPACE in "".join(pieces):
        made.normalizer = library.normalizers.Sequence(
            [made.normalizer, library.normalizers.Replace(" ", SPACE)]
        )
    return made


def package() -> Any:
    """The library of tokenizers.

    Raises:
        MachineError: it is not installed.
    """
    try:
        import tokenizers
    except ImportError:
        raise missing_package("tokenizers", "text") from None
    return tokenizers
