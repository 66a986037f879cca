"""beam: the likeliest texts that a net can tell, several begun ones of every text side by side.

Each text has `width` places. At every token the best ways to go on take the places that are left; one that
ends keeps its place and leaves the race. So one place is greedy decoding, and as many places as there are
texts up to a length is an exhaustive search. A text is also over when nothing under way can still win.

Papers: Sutskever et al. 2014, section 3.2; Wu et al. 2016, section 7 (length penalty); Huang et al. 2017
(when to stop).
Shapes: B texts under way, J hypotheses of each, W places, V different tokens, C ways to go on, T tokens told.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lichen.core.errors import OptionError
from lichen.data.tokenizer import PAD

OUT = -torch.inf
"""The log-probability of a place that is free."""


class Speaker(Protocol):
    """A net in the middle of telling several hypotheses of several texts."""

    def next(self, newest_BJ: Tensor) -> Tensor:
        """(B, J, V): logits after one more token of each hypothesis."""
        ...

    def keep(self, texts_B: Tensor, parents_BJ: Tensor) -> None:
        """Goes on with these texts, and in each with the hypotheses that grew out of these."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """A text that was told.

    Args:
        tokens: without the one that ended it.
        log_prob: of all tokens, the end included.
        score: log_prob over the length penalty.
        is_whole: it came to its end.
    """

    tokens: tuple[int, ...]
    log_prob: float
    score: float
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Beam:
    """How far and wide is searched.

    Args:
        width: places of each text; 1: always the likeliest token.
        penalty: how much longer texts are favoured: scores are log-probabilities over ((5 + length) / 6)
            ** penalty; 0: not at all.

    Raises:
        OptionError: a figure is out of its range.
    """

    width: int = 5
    penalty: float = 0.6

    def __post_init__(self) -> None:
        if self.width < 1:
            raise OptionError(f"`beam` must be 1 at least, not {self.width}")
        if not 0 <= self.penalty <= 10:
            raise OptionError(f"`length_penalty` must be from 0 to 10, not {self.penalty}")

    def score(self, log_prob: float, length: int) -> float:
        """Of so many tokens, the end included."""
        return log_prob / ((5.0 + length) / 6.0) ** self.penalty

    @torch.inference_mode()
    def search(
        self, speaker: Speaker, most: Sequence[int], *, start: int, stops: Collection[int]
    ) -> list[list[Hypothesis]]:
        """What was told of each text, the best first.

        Args:
            most: tokens of each text at most, the end included. start: the token before the first.
            stops: tokens that end a text.
        """
        race = _Race(self, most, start, torch.tensor(sorted(stops)))
        while len(race.texts_B):
            race.go(speaker)
        return [
            sorted(found, key=lambda one: (one.is_whole, one.score), reverse=True) for found in race.found
        ]


class _Race:
    """The hypotheses under way, and those that are told."""

    def __init__(self, beam: Beam, most: Sequence[int], start: int, stops: Tensor) -> None:
        self.beam, self.most, self.stops, self.length = beam, most, stops, 0
        num_texts = len(most)
        self.found: list[list[Hypothesis]] = [[] for _ in range(num_texts)]
        self.texts_B = torch.arange(num_texts)
        self.tokens_BJT = torch.zeros(num_texts, 1, 0, dtype=torch.long)
        self.newest_BJ = torch.full((num_texts, 1), start)
        self.total_BJ = torch.zeros(num_texts, 1, dtype=torch.float64)
        self.left_B = torch.full((num_texts,), beam.width)

    def go(self, speaker: Speaker) -> None:
        """One more token of every hypothesis."""
        logits_BJV = speaker.next(self.newest_BJ)
        parents_BW = self._grow(torch.log_softmax(logits_BJV.float(), -1).cpu())
        self.length += 1
        ends_BW = torch.isin(self.newest_BJ, self.stops) & (self.total_BJ > OUT)
        is_full_B1 = torch.tensor([self.length == self._most(text) for text in range(len(ends_BW))])[:, None]
        for text, place in (ends_BW | (is_full_B1 & (self.total_BJ > OUT))).nonzero().tolist():
            self._told(text, place, is_whole=bool(ends_BW[text, place]))
        self.left_B = self.left_B - ends_BW.sum(1)
        self.total_BJ = self.total_BJ.masked_fill(ends_BW, OUT)
        going = torch.tensor(
            [text for text in range(len(self.texts_B)) if self._may_win(text)], dtype=torch.long
        )
        if len(going):
            speaker.keep(going, parents_BW[going])
        held = self.texts_B, self.tokens_BJT, self.newest_BJ, self.total_BJ, self.left_B
        self.texts_B, self.tokens_BJT, self.newest_BJ, self.total_BJ, self.left_B = (
            tensor[going] for tensor in held
        )

    def _grow(self, chance_BJV: Tensor) -> Tensor:
        """Takes the best ways to go on, as many as places are left; int64 (B, W) out of which each grew."""
        chance_BJV[..., PAD] = OUT
        width = min(self.beam.width, chance_BJV.shape[-1])
        best_BJC, token_BJC = chance_BJV.topk(width, -1)
        ways_BC = (self.total_BJ[..., None] + best_BJC).flatten(1)
        total_BW, way_BW = ways_BC.topk(min(self.beam.width, ways_BC.shape[1]), -1)
        parents_BW = way_BW // width
        is_over_BW = torch.arange(total_BW.shape[1]) >= self.left_B[:, None]
        self.total_BJ = total_BW.masked_fill(is_over_BW, OUT)
        self.newest_BJ = token_BJC.flatten(1).gather(1, way_BW)
        past_BWT = self.tokens_BJT.gather(1, parents_BW[..., None].expand(-1, -1, self.length))
        self.tokens_BJT = torch.cat([past_BWT, self.newest_BJ[..., None]], -1)
        return parents_BW

    def _told(self, text: int, place: int, *, is_whole: bool) -> None:
        tokens, total = self.tokens_BJT[text, place].tolist(), float(self.total_BJ[text, place])
        self.found[int(self.texts_B[text])].append(Hypothesis(
            tokens=tuple(tokens[:-1] if is_whole else tokens), log_prob=total,
            score=self.beam.score(total, len(tokens)), is_whole=is_whole,
        ))  # fmt: skip

    def _most(self, text: int) -> int:
        return self.most[int(self.texts_B[text])]

    def _may_win(self, text: int) -> bool:
        """Whether a hypothesis under way beats those that are told if it lost nothing from here on."""
        best = float(self.total_BJ[text].max())
        done = [one.score for one in self.found[int(self.texts_B[text])] if one.is_whole]
        if best == OUT or self.length == self._most(text):
            return False
        return not done or self.beam.score(best, self._most(text)) > max(done)
