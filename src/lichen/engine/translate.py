"""translate: texts into others, by a net that reads a source and tells its target; a beam searches the best.

Sources are read once; the hypotheses of a text share what was read. Texts of like length go side by side;
what is told of one does not depend on the others but for rounding.

Shapes: B texts, J hypotheses of each, R rows (R = B * J), S source tokens, V different ones, L numbers of a
pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lichen.core import session
from lichen.core.errors import DataError, UsageError
from lichen.core.model import Model
from lichen.data import pairing, tokenizer
from lichen.data.tokenizer import Tokenizer
from lichen.engine.beam import Beam, Hypothesis
from lichen.engine.inputs import feeds
from lichen.engine.modules import backend

BATCH_SIZE = 64
LONGER = (2, 10)
"""A target has at most so many times the tokens of its source, and so many more."""
SHOWN = 40
"""Characters of a text that a warning shows."""


@dataclass(slots=True, eq=False)
class Telling:
    """A net in the middle of telling targets: what it read, and what it keeps of the tokens so far."""

    net: Any
    memory: Any
    cache: Any

    @classmethod
    def of(cls, net: nn.Module, source_BS: Tensor, room: int) -> Telling:
        return cls(net, net.read(source_BS), net.cache(room))  # type: ignore[operator]

    def next(self, newest_BJ: Tensor) -> Tensor:
        """(B, J, V): logits after one more token of each hypothesis."""
        device = next(self.net.parameters()).device
        features_RTD = self.net.tell(newest_BJ.reshape(-1, 1).to(device), self.memory, self.cache)
        return self.net.head(features_RTD[:, -1]).unflatten(0, newest_BJ.shape)

    def keep(self, texts_B: Tensor, parents_BJ: Tensor) -> None:
        """Goes on with these texts, and in each with the hypotheses that grew out of these."""
        num_texts = self.memory.num_texts
        num_hypotheses = self.cache.num_rows // num_texts
        self.cache.keep_rows((texts_B[:, None] * num_hypotheses + parents_BJ).flatten())
        if len(texts_B) < num_texts:
            self.memory.keep_texts(texts_B)


@dataclass(frozen=True, slots=True, eq=False)
class Translator:
    """A model of pairs at work.

    Args:
        room: tokens that the net reads of a text at most.
    """

    module: nn.Module
    tokenizer: Tokenizer
    room: int

    @classmethod
    def of(cls, model: Model, device: str = "cpu") -> Translator:
        """
        Raises:
            UsageError: the model tells no targets.
        """
        if not feeds.are_paired(model.assets):
            said = f"only a model of pairs translates; this one is for {model.task or 'no task'}"
            raise UsageError(said, hint="pretrain.train(..., net='seq2seq', task='translation') makes one")
        return cls.of_module(backend.module_of(model).to(device), model.assets)

    @classmethod
    def of_module(cls, module: nn.Module, assets: Any) -> Translator:
        return cls(module, tokenizer.of(assets["tokenizer"]), assets["max_tokens"])

    def translate(
        self, texts: Sequence[str], beam: Beam | None = None, batch_size: int = BATCH_SIZE
    ) -> list[str]:
        """The target of each source; where one is longer than what the net reads, of its beginning."""
        rows = [pairing.asked(self.tokenizer, _text(text), self.room) for text in texts]
        if not rows:
            return []
        warned(np.stack(rows), self.tokenizer, self.room)
        return self.of_rows(np.stack(rows), beam, batch_size)

    def of_rows(
        self, rows_BL: np.ndarray, beam: Beam | None = None, batch_size: int = BATCH_SIZE
    ) -> list[str]:
        """The targets of rows, whatever stands in their second halves."""
        return [self._text(found[0].tokens) for found in self.hypotheses(rows_BL, beam, batch_size)]

    def _text(self, tokens: Sequence[int]) -> str:
        """What tokens say, without what a tokenizer puts before every text."""
        said = self.tokenizer.decode_bytes(tokens)
        before = self.tokenizer.num_before
        return (said[before:] if said[:before].isspace() else said).decode("utf-8", "replace")

    def hypotheses(
        self, rows_BL: np.ndarray, beam: Beam | None = None, batch_size: int = BATCH_SIZE
    ) -> list[list[Hypothesis]]:
        """All that was told of each row, the best first."""
        source_BS, lengths_B = pairing.halves(rows_BL)[0], pairing.lengths(rows_BL)[:, 0]
        order = np.argsort(lengths_B, kind="stable")
        found: dict[int, list[Hypothesis]] = {}
        for begin in range(0, len(order), batch_size):
            chosen = order[begin : begin + batch_size]
            told = self._told(source_BS[chosen], lengths_B[chosen], beam or Beam())
            found.update(zip(chosen.tolist(), told, strict=True))
        return [found[row] for row in range(len(rows_BL))]

    @torch.inference_mode()
    def _told(self, source_BS: np.ndarray, lengths_B: np.ndarray, beam: Beam) -> list[list[Hypothesis]]:
        times, more = LONGER
        most = [min(self.room + 1, times * length + more) for length in lengths_B.tolist()]
        device = next(self.module.parameters()).device
        telling = Telling.of(self.module.eval(), torch.from_numpy(source_BS).to(device), max(most))
        return beam.search(telling, most, start=self.tokenizer.end, stops=self.tokenizer.stops)


def warned(rows_BL: np.ndarray, teller: Tokenizer, room: int) -> bool:
    """Says so in the session's events where sources are longer than what a net reads; whether any is."""
    cut_L = next(iter(rows_BL[pairing.are_cut(rows_BL, teller.end)]), None)
    if cut_L is None:
        return False
    begins = teller.decode(pairing.halves(cut_L[None])[0][0].tolist())[:SHOWN]
    text = f"what a text says after {room + 1} tokens is not read and not translated: {begins!r} goes on"
    session.current().events.emit("warning", text=text)
    return True


def _text(text: Any) -> str:
    if not isinstance(text, str):
        raise DataError(f"what is to be translated must be a text, not {type(text).__name__}")
    return text


def translate(
    model: Model,
    texts: str | Sequence[str],
    *,
    beam: int = Beam().width,
    length_penalty: float = Beam().penalty,
) -> list[str]:
    """The target of each source; see `Beam`."""
    given: list[Any] = list(texts) if isinstance(texts, list | tuple) else [texts]
    return Translator.of(model).translate(given, Beam(width=beam, penalty=length_penalty))
