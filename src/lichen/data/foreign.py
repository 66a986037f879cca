"""foreign: tokenizers that others learnt, with the models that were trained through them.

Two forms: `file`, what the library writes (`tokenizer.json`), and `pieces`, a list of pieces whose order is
that in which they are put together, as SentencePiece learns them: `<s>` and `</s>` stand apart, `<0x0A>` is a
byte, and a text begins with a space.

Number 0 fills rows up here. Where a tokenizer says something by it, or begins documents with it, 0 and a
number that says nothing (`blank`) change places, in the model's tables too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lichen.core.errors import DataError, UsageError, missing_package
from lichen.data.files import read_bytes

KINDS = ("file", "pieces")
BYTE = re.compile("<0x([0-9A-F]{2})>")
SPACE = "\u2581"
"""What SentencePiece writes for a space."""
APART = ("<unk>", "<s>", "</s>")
END_NAME = re.compile("endoftext|end_of_text|begin_of_text|bos|<s>")
"""What the token is called that separates documents."""


@dataclass(frozen=True, slots=True, eq=False)
class Foreign:
    """Of a tokenizer: the library's object, what each number stands for, and those that bound texts."""

    backend: Any
    bytes_of: Sequence[bytes]
    end: int
    stops: frozenset[int]
    num_before: int = 0
    """Bytes before every text: pieces begin with a space."""
    blank: int | None = None
    """The library's number that stands at 0 here."""


def asset_of(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """The asset of the tokenizer beside a model, read from its folder.

    Args:
        config: the model's; names the tokens that bound texts.

    Raises:
        DataError: there is none that can be read.
    """
    bounds = bounds_of(config)
    if (path := folder / "tokenizer.json").is_file():
        return settled({"kind": "file", "file": _json(path), **bounds}, config, _chat(folder))
    for path in sorted(folder.glob("vocab*.json")):
        pieces = _json(path)
        if isinstance(pieces, list) and all(isinstance(one, dict) and "piece" in one for one in pieces):
            names = [str(one["piece"]) for one in pieces]
            return {"kind": "pieces", "pieces": [*APART, *names[len(APART) :]], **bounds}
    raise DataError("a model must lie beside its tokenizer", where=str(folder), hint="tokenizer.json")


def bounds_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What bounds texts: `end` before each, one of `stops` after it; a model may have one token for both."""
    stops = _all(config.get("eos_token_id"))
    return {"end": (_all(config.get("bos_token_id")) or stops or [0])[0], "stops": stops}


def settled(asset: Mapping[str, Any], config: Mapping[str, Any], chat: str) -> dict[str, Any]:
    """The asset with a token that begins documents and nothing else, and a number 0 that says nothing.

    Args:
        config: the model's; says how many numbers it knows.
        chat: how the model writes conversations. What begins each turn in them cannot begin a document,
            before which nothing is seen.
    """
    end, stops = int(asset["end"]), [int(number) for number in asset["stops"]]
    backend = _backend(asset["file"])
    words = {number: word for word, number in backend.get_vocab(with_added_tokens=True).items()}
    size = max(words) + 1
    said = _sayings(backend, asset["file"], words)
    silent = [number for number in range(size) if not said[number] and words.get(number, "?") not in chat]
    if words.get(end, "") in chat and words.get(end):
        ends = [number for number in silent if END_NAME.search(words.get(number, "")) and number not in stops]
        end = ends[0] if ends else end
    room = max(size, int(config.get("vocab_size") or size))
    asset = {**asset, "end": end, "size": room}
    if not said[0] and end != 0:
        return asset
    spare = [size] if size < room else [number for number in silent if number not in (0, end, *stops)]
    return {**asset, "blank": spare[-1] if spare else room}


def _chat(folder: Path) -> str:
    """How a model in a folder writes conversations; empty where it does not say."""
    if (path := folder / "chat_template.jinja").is_file():
        return read_bytes(path).decode("utf-8", "replace")
    path = folder / "tokenizer_config.json"
    found = _json(path) if path.is_file() else {}
    return json.dumps(found.get("chat_template", ""), ensure_ascii=False) if isinstance(found, dict) else ""


def _json(path: Path) -> Any:
    try:
        return json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"a tokenizer must be JSON: {error}", where=str(path)) from None


def _all(ids: Any) -> list[int]:
    """Token numbers, of which a configuration names one, several or none."""
    given = ids if isinstance(ids, list) else [ids]
    return [number for number in given if isinstance(number, int)]


def of(asset: Mapping[str, Any]) -> Foreign:
    """The tokenizer of an asset.

    Raises:
        ValueError: the asset describes none.
        UsageError: its number 0, which fills rows up, says something.
    """
    found = _read(asset)
    if found.bytes_of[0]:
        raise UsageError(
            f"number 0 of a tokenizer must stand for no text, as it fills rows up; here it says "
            f"{found.bytes_of[0]!r}"
        )
    return found


def _read(asset: Mapping[str, Any]) -> Foreign:
    end, stops = int(asset["end"]), frozenset(int(number) for number in [asset["end"], *asset["stops"]])
    if asset["kind"] == "pieces":
        pieces = [str(piece) for piece in asset["pieces"]]
        return Foreign(_of_pieces(pieces), [_bytes(piece) for piece in pieces], end, stops, num_before=1)
    backend, blank = _backend(asset["file"]), asset.get("blank")
    words = {number: word for word, number in backend.get_vocab(with_added_tokens=True).items()}
    found = _sayings(backend, asset["file"], words)
    found += [b""] * (int(asset.get("size", 0)) - len(found))  # models may know more numbers than are used
    before = int(asset["num_before"]) if "num_before" in asset else _num_before(backend, found)
    if blank is None:
        return Foreign(backend, found, end, stops, num_before=before)
    found += [b""] * (int(blank) + 1 - len(found))
    found[0], found[blank] = found[blank], found[0]
    ours = {0: blank, blank: 0}
    return Foreign(backend, found, ours.get(end, end), frozenset(ours.get(stop, stop) for stop in stops),
                   num_before=before, blank=int(blank))  # fmt: skip


def _backend(file: Mapping[str, Any]) -> Any:
    try:
        backend = package().Tokenizer.from_str(json.dumps(file))
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        raise ValueError(str(error)[:200]) from None
    backend.no_truncation()
    backend.no_padding()
    return backend


def _sayings(backend: Any, file: Mapping[str, Any], words: Mapping[int, str]) -> list[bytes]:
    """What each number stands for."""
    apart = {number for number, added in backend.get_added_tokens_decoder().items() if added.special}
    is_of_bytes = "ByteLevel" in json.dumps(file.get("decoder"))
    byte_of = {letter: byte for byte, letter in enumerate(letters())}
    found = []
    for number in range(max(words) + 1):
        word = "" if number in apart else words.get(number, "")
        is_written = is_of_bytes and set(word) <= byte_of.keys()
        found.append(bytes(byte_of[letter] for letter in word) if is_written else _bytes(word))
    return found


def _num_before(backend: Any, said: Sequence[bytes]) -> int:
    """Bytes that are told before every text: many tokenizers put a space there."""
    told = b"".join(said[number] for number in backend.encode("a", add_special_tokens=False).ids)
    return len(told) - 1 if told.endswith(b"a") else 0


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


def pieces_written(backend: Any, end: int) -> str:
    """Pieces as the library writes them for others: there `end` stands before a text.

    What is told comes back as the text it was: bytes put together, without the space before all.
    """
    library = package()
    made = library.Tokenizer.from_str(backend.to_str())
    name, decoders = made.id_to_token(end), library.decoders
    made.add_special_tokens(list(APART))
    made.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.post_processor = library.processors.TemplateProcessing(
        single=f"{name} $A", special_tokens=[(name, end)]
    )
    return str(made.to_str())


@lru_cache(maxsize=1)
def letters() -> tuple[str, ...]:
    """The character by which byte-level tokenizers write each byte: itself where it can be seen."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others: Iterator[str] = iter([chr(0x100 + place) for place in range(256 - len(seen))])
    return tuple(chr(byte) if byte in seen else next(others) for byte in range(256))


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
