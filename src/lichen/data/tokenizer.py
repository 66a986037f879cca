"""tokenizer: texts into numbers and back, by byte pairs: any bytes can be told, and none is lost.

Numbers from 0 stand for what no text can say (`SPECIAL`), the next 256 for the bytes, the others for pairs of
earlier ones, in the order in which they were learnt. What is kept is the list of pairs: JSON and no code.

Papers: Sennrich et al. 2016 (byte pair encoding); Radford et al. 2019, section 2.2 (over bytes).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from lichen.core.digest import digest_json
from lichen.core.errors import DataError, OptionError, UsageError
from lichen.data import foreign
from lichen.data.foreign import letters, package

SPECIAL = ("pad", "end", "mask", "unused")
"""Kept apart from all texts: `<pad>` in a text is five bytes like any others."""
PAD, END = 0, 1
SMALLEST = len(SPECIAL) + 256
ANCHOR = "\n"
"""What no tokenizer puts together with what follows it, but for another one."""
ESCAPED = re.compile("([\udc80-\udcff]+)")
"""Bytes that are no UTF-8, as Python's surrogateescape writes them."""


def learn(texts: Iterable[str], size: int) -> dict[str, Any]:
    """The asset of a tokenizer whose pairs are the most frequent in these texts.

    Args:
        size: numbers in all; texts of few different pairs give fewer.

    Raises:
        OptionError: the size leaves no room for the bytes.
    """
    if size < SMALLEST:
        raise OptionError(f"a tokenizer must have {SMALLEST} numbers at least, not {size}")
    library = package()
    found = library.Tokenizer(library.models.BPE())
    found.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = library.trainers.BpeTrainer(
        vocab_size=size - len(SPECIAL), initial_alphabet=list(letters()), show_progress=False
    )
    found.train_from_iterator(texts, trainer)
    return {"kind": "bpe", "special": list(SPECIAL), "merges": _merges(found.to_str())}


def _merges(written: str) -> list[str]:
    merges = json.loads(written)["model"]["merges"]
    return [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]


@dataclass(frozen=True, slots=True, eq=False)
class Tokenizer:
    """A tokenizer at work.

    Args:
        digest: of its asset.
        bytes_of: what each number stands for; nothing for special ones.
        backend: of the library, which knows nothing of special numbers.
        end: stands before a document, and says after one that it is over.
        stops: say that a text is over.
        shift: what the library's numbers are away from ours.
        num_before: bytes that the first number of a text says beyond the text.
        opening: numbers that stand before every text that is read as a whole. closing: those after it.
        blank: the library's number that changed places with 0, so that 0 says nothing; None: none did.
    """

    digest: str
    bytes_of: Sequence[bytes]
    backend: Any
    end: int = END
    stops: frozenset[int] = frozenset({END})
    shift: int = len(SPECIAL)
    num_before: int = 0
    opening: tuple[int, ...] = ()
    closing: tuple[int, ...] = ()
    blank: int | None = None

    @property
    def size(self) -> int:
        return len(self.bytes_of)

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """int32 (T,) of each text.

        Raises:
            DataError: a text has half a character.
        """
        try:
            found = self.backend.encode_batch_fast(list(texts), add_special_tokens=False)
        except TypeError:
            raise DataError("a text has half a character (a lone surrogate)") from None
        numbers = [np.array(encoding.ids, np.int32) + self.shift for encoding in found]
        return numbers if self.blank is None else [swapped(ids, self.blank) for ids in numbers]

    def encode_within(self, texts: Sequence[str]) -> list[np.ndarray]:
        """int32 (T,) of each text as it goes on from another: nothing is put before its first letter."""
        if self.decode(self.encode([ANCHOR])[0]) == ANCHOR:
            return self.encode(texts)
        anchor = len(self.encode([ANCHOR])[0])
        return [numbers[anchor:] for numbers in self.encode([ANCHOR + text for text in texts])]

    def traded(self, number: int) -> int:
        """The library's number for one of ours, or ours for one of the library's: 0 and `blank` trade."""
        return {0: self.blank, self.blank: 0}.get(number, number) if self.blank is not None else number

    def encode_bytes(self, data: bytes) -> np.ndarray:
        """int32 (T,) of any bytes, also of those that are no UTF-8: each of these has its own number."""
        parts = [np.zeros(0, np.int32)]
        for place, part in enumerate(ESCAPED.split(data.decode("utf-8", "surrogateescape"))):
            if place % 2:
                parts.append(np.array([ord(letter) - 0xDC00 for letter in part], np.int32) + len(SPECIAL))
            elif part:
                parts += self.encode([part])
        return np.concatenate(parts)

    def decode_bytes(self, numbers: Iterable[int]) -> bytes:
        """The bytes that numbers stand for; special ones say nothing."""
        return b"".join(self.bytes_of[number] for number in numbers)

    def decode(self, numbers: Iterable[int]) -> str:
        """The text that numbers stand for; a character of which bytes are missing becomes U+FFFD."""
        return self.decode_bytes(numbers).decode("utf-8", "replace")


_last: list[tuple[Mapping[str, Any], Tokenizer]] = []
"""The asset that was asked about last: a foreign one may be half a megabyte, whose digest takes its time."""


def swapped(numbers: np.ndarray, blank: int) -> np.ndarray:
    """Numbers of which 0 and `blank` change places."""
    return np.where(numbers == PAD, blank, np.where(numbers == blank, PAD, numbers)).astype(np.int32)


def of(asset: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer of an asset, made once per process.

    Raises:
        UsageError: the asset describes none.
    """
    for seen, made in _last:
        if seen is asset:
            return made
    found = _of(asset)
    _last[:] = [(asset, found)]
    return found


def _of(asset: Mapping[str, Any]) -> Tokenizer:
    try:
        if asset["kind"] in foreign.KINDS:
            return _foreign(digest_json(asset), json.dumps(asset))
        special, merges = tuple(asset["special"]), tuple(map(str, asset["merges"]))
        return _made(digest_json(asset), str(asset["kind"]), special, merges)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"the model's tokenizer is damaged: {error}") from None


def written(asset: Mapping[str, Any]) -> str:
    """The same tokenizer as its library writes it, `tokenizer.json`; there END stands before a text."""
    backend = of(asset).backend
    if asset["kind"] == "file":
        return json.dumps(asset["file"])
    if asset["kind"] == "pieces":
        return foreign.pieces_written(backend, of(asset).end)
    library, names = package(), [f"<|{name}|>" for name in SPECIAL]
    shifted = json.loads(backend.to_str())
    words = {word: number + len(SPECIAL) for word, number in shifted["model"]["vocab"].items()}
    shifted["model"]["vocab"] = {**{name: number for number, name in enumerate(names)}, **words}
    made = library.Tokenizer.from_str(json.dumps(shifted))
    made.add_special_tokens(names)
    made.decoder = library.decoders.ByteLevel()
    made.post_processor = library.processors.TemplateProcessing(
        single=f"{names[END]} $A", special_tokens=[(names[END], END)]
    )
    return made.to_str()


def speaking(asset: Mapping[str, Any], *more: str) -> Any:
    """The library's tokenizer that takes special tokens where a text spells them, as templates do.

    Args:
        more: special tokens beside its own.
    """
    return _speaking(digest_json(asset), json.dumps(asset), more)


@lru_cache(maxsize=8)
def _speaking(digest: str, written_asset: str, more: tuple[str, ...]) -> Any:
    asset = json.loads(written_asset)
    made = package().Tokenizer.from_str(written(asset))
    made.add_special_tokens(list(more))
    made.no_truncation()
    made.no_padding()
    return made


@lru_cache(maxsize=8)
def _foreign(digest: str, asset: str) -> Tokenizer:
    told = json.loads(asset)
    made, (opening, closing) = foreign.of(told), told.get("around", ((), ()))
    return Tokenizer(digest, made.bytes_of, made.backend, end=made.end, stops=made.stops, shift=0,
                     num_before=made.num_before, opening=tuple(opening), closing=tuple(closing),
                     blank=made.blank)  # fmt: skip


@lru_cache(maxsize=8)
def _made(digest: str, kind: str, special: tuple[str, ...], merges: tuple[str, ...]) -> Tokenizer:
    if kind != "bpe" or special != SPECIAL:
        raise ValueError(f"`{str(kind)[:40]}` of {len(special)} special numbers is not known")
    vocabulary = {letter: byte for byte, letter in enumerate(letters())}
    pairs = []
    for merge in merges:
        left, right = merge.split(" ")
        if left not in vocabulary or right not in vocabulary:
            raise ValueError(f"pair {merge[:80]!a} is made of what no earlier pair made")
        vocabulary.setdefault(left + right, len(vocabulary))
        pairs.append((left, right))
    byte_of = {letter: byte for byte, letter in enumerate(letters())}
    words = [bytes(byte_of[letter] for letter in word) for word in vocabulary]
    library = package()
    backend = library.Tokenizer(library.models.BPE(vocab=vocabulary, merges=pairs))
    backend.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return Tokenizer(digest, (*(b"" for _ in SPECIAL), *words), backend)
