"""decode: texts out of a language model, token by token: keys and values are kept, prompts go side by side.

A token is drawn from (seed, number of the prompt, number of the token) alone, so a text does not depend on
what is told beside it. Prompts of different lengths are filled up at the left, where nothing sees it. Where
the tokens that a net reads are full, it goes on from the later half of them as from a document. A model with
a chat template is asked in its words: a prompt is what a user says, or a conversation so far; asked plainly,
it goes on from a prompt as from the beginning of a document.

Shapes: B rows under way, V different tokens, S tokens read.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lichen.core import session
from lichen.core.errors import DataError, UsageError
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.data import chat, conversations, tokenizer
from lichen.data.chat import Chat
from lichen.data.conversations import Message
from lichen.data.tokenizer import PAD, Tokenizer
from lichen.engine.inputs import feeds
from lichen.engine.modules import backend
from lichen.engine.programs import runtimes
from lichen.engine.programs.teller import Kept, Teller
from lichen.engine.sampling import Sampling, require

BATCH_SIZE = 32
Prompt = str | Sequence[Message]
"""A text, or a conversation so far."""


@dataclass(frozen=True, slots=True, eq=False)
class Decoder:
    """A language model at work.

    Args:
        room: tokens that the net reads at most.
        chat: how conversations are read; None: the model was never taught one, or goes on from plain texts.
    """

    module: nn.Module
    tokenizer: Tokenizer
    room: int
    chat: Chat | None = None

    @classmethod
    def of(cls, model: Model | Program, device: str = "cpu", *, is_plain: bool = False) -> Decoder:
        """
        Args:
            is_plain: prompts are gone on from, also where the model was taught conversations.

        Raises:
            UsageError: the model tells no next tokens.
        """
        if not feeds.are_packed(model.assets):
            hint = "lichen predict, or model.translate(texts)" if feeds.are_paired(model.assets) else None
            said = f"only a language model tells texts; this one is for {model.task or 'no task'}"
            raise UsageError(said, hint=hint)
        if isinstance(model, Program):
            return cls.around(_of_program(model), model.assets, is_plain=is_plain)
        return cls.around(backend.module_of(model).to(device), model.assets, is_plain=is_plain)

    @classmethod
    def around(cls, module: nn.Module, assets: Mapping[str, Any], *, is_plain: bool = False) -> Decoder:
        """A decoder of a net that is in memory already."""
        template = chat.of(assets) if assets.get("template") and not is_plain else None
        return cls(module, tokenizer.of(assets["tokenizer"]), max(2, assets["max_tokens"]), template)

    def generate(
        self, prompts: Sequence[Prompt], *, max_new_tokens: int = 100, sampling: Sampling | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> list[str]:  # fmt: skip
        """What follows each prompt, up to the end of its document or answer, or so many tokens.

        A warning of the session says where a prompt is longer than what the net reads.
        """
        found: list[list[int]] = [[] for _ in prompts]
        for start in range(0, len(prompts), batch_size):
            rows = range(start, min(len(prompts), start + batch_size))
            read = [self.read(prompts[row]) for row in rows]
            if unheard := self.unheard(max(map(len, read))):
                session.current().events.emit("warning", text=unheard)
            for told in self.tokens(read, max_new_tokens, sampling or Sampling(), first=start):
                for row, token in told.items():
                    found[row].append(token)
        return [self.tokenizer.decode(numbers) for numbers in found]

    def unheard(self, count: int) -> str | None:
        """What is to be said of a prompt of so many tokens where the net does not read them all."""
        if count <= self.room:
            return None
        heard = max(1, self.room // 2)
        return f"the model reads {self.room} tokens; of a prompt of {count} only the last {heard} are heard"

    def stream(
        self, prompt: Prompt, *, max_new_tokens: int = 100, sampling: Sampling | None = None
    ) -> Iterator[str]:
        """The same of one prompt, character by character as they are complete."""
        whole = codecs.getincrementaldecoder("utf-8")("replace")
        for told in self.tokens([self.read(prompt)], max_new_tokens, sampling or Sampling()):
            if text := whole.decode(self.tokenizer.decode_bytes(told.values())):
                yield text
        if text := whole.decode(b"", True):
            yield text

    def read(self, prompt: Prompt) -> np.ndarray:
        """int32 (S,): a prompt as the beginning of a document, or as what a model of conversations is asked.

        Raises:
            DataError: it is no prompt. UsageError: it is a conversation, and the model knows none.
        """
        if self.chat is not None:
            numbers_S = self.chat.prompt(conversations.messages(prompt, "user"))
            return self._unmarked(numbers_S) if isinstance(self.module, Uncached) else numbers_S
        if isinstance(prompt, list | tuple):
            raise UsageError("the model was never taught conversations, or is asked plainly; its prompts must"
                             " be texts", hint="adapt.instruct teaches them")  # fmt: skip
        if not isinstance(prompt, str):
            raise DataError(f"a prompt must be a text, not {type(prompt).__name__}")
        return np.concatenate([[self.tokenizer.end], *self.tokenizer.encode([prompt])]).astype(np.int32)

    def _unmarked(self, numbers_S: np.ndarray) -> np.ndarray:
        """Numbers as a graph without a cache reads them: each END begins a document, nothing else does.

        Raises:
            UsageError: the model's template begins a conversation otherwise, or says END within it.
        """
        plain_S = np.where(numbers_S < 0, ~numbers_S, numbers_S)
        if np.flatnonzero(plain_S == self.tokenizer.end).tolist() != [0]:
            raise UsageError(
                "a Program without a cache begins a document at every end-of-document token and nowhere else;"
                " this model's conversations do not", hint="ask the Model that it was made of",
            )  # fmt: skip
        return plain_S

    @torch.inference_mode()
    def tokens(
        self, prompts: Sequence[np.ndarray], max_new_tokens: int, sampling: Sampling, *, first: int = 0
    ) -> Iterator[dict[int, int]]:
        """The next token of every row that has not ended, by the row's number from `first` on."""
        require(max_new_tokens >= 1, "max_new_tokens", "1 at least", max_new_tokens)
        rows = list(range(first, first + len(prompts)))
        pasts, cache = [numbers.tolist() for numbers in prompts], None
        for step in range(max_new_tokens):
            logits_BV, cache = self._advanced(pasts, cache)
            if PAD not in self.tokenizer.stops:  # some tokenizers of others end a text by it
                logits_BV[:, PAD] = -torch.inf
            next_B = sampling.draw(logits_BV, rows, step).tolist()
            going = [place for place, token in enumerate(next_B) if token not in self.stops]
            if not going:
                return
            if cache is not None and len(going) < len(rows):
                cache.keep_rows(torch.tensor(going, device=logits_BV.device))
            rows = [rows[place] for place in going]
            pasts = [[*pasts[place], next_B[place]] for place in going]
            yield {row: past[-1] for row, past in zip(rows, pasts, strict=True)}

    def _advanced(self, pasts: list[list[int]], cache: Any) -> tuple[Tensor, Any]:
        """Logits after all tokens so far, of which a cache holds all but the last; full pasts are cut."""
        full = [row for row, past in enumerate(pasts) if len(past) > self.room]
        for row in full:
            pasts[row] = [*pasts[row][: self.lead], *pasts[row][-max(1, self.room // 2) :]]
        if cache is not None and not full and cache.length < self.room:
            newest = torch.tensor([past[-1:] for past in pasts], dtype=torch.int32, device=self.device)
            return self.module(newest, cache)[:, -1].float(), cache
        make = getattr(self.module, "cache", None)
        if make is None:
            return self.module(self._filled(pasts))[:, -1].float(), None
        cache = make(self.room)
        return self.module(self._filled(pasts), cache)[:, -1].float(), cache

    @property
    def stops(self) -> frozenset[int]:
        """Tokens that end what is told."""
        return self.tokenizer.stops if self.chat is None else self.chat.stops

    @property
    def lead(self) -> int:
        """Tokens at the beginning that are never left out: the first, or a learnt prompt."""
        return max(1, self.chat.num_virtual) if self.chat else 1

    def _filled(self, pasts: list[list[int]]) -> Tensor:
        """int32 (B, S): rows filled up at the left."""
        length = max(map(len, pasts))
        rows = [[*[PAD] * (length - len(past)), *past] for past in pasts]
        return torch.tensor(rows, dtype=torch.int32, device=self.device)

    @property
    def device(self) -> torch.device:
        return next((one.device for one in self.module.parameters()), torch.device("cpu"))


class Written(nn.Module):
    """A Program's graph with a cache, asked as a net is; it says what comes after the last token alone."""

    def __init__(self, teller: Teller) -> None:
        super().__init__()
        self.teller = teller

    def cache(self, room: int) -> Kept:
        """An empty cache for so many tokens of a row."""
        return self.teller.cache(room)

    def forward(self, x_BT: Tensor, cache: Kept) -> Tensor:
        return torch.from_numpy(self.teller(x_BT.numpy(), cache, last=1))


class Uncached(nn.Module):
    """A Program that answers about rows of one length, asked about all tokens so far each time."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.run = runtimes.load(program.runtime, program.files(), precision=program.precision)
        self.length = len(feeds.blank(program.assets))

    def forward(self, x_BT: Tensor) -> Tensor:
        told = x_BT.shape[1]
        filled_BT = torch.nn.functional.pad(x_BT, (0, self.length - told), value=PAD)
        return torch.from_numpy(self.run(filled_BT.numpy()))[:, told - 1 : told]


def _of_program(program: Program) -> nn.Module:
    teller = runtimes.teller(program.files())
    return Uncached(program) if teller is None else Written(teller)


def generate(
    model: Model | Program, prompts: Prompt | Sequence[Prompt], *, max_new_tokens: int = 100,
    temperature: float = 0.8, top_k: int | None = None, top_p: float | None = None,
    min_p: float | None = None, seed: int = 0, is_plain: bool = False,
) -> list[str]:  # fmt: skip
    """What a language model says after each prompt; see `Sampling` and `Decoder.of`."""
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, seed=seed)
    decoder = Decoder.of(model, is_plain=is_plain)
    return decoder.generate(listed(prompts), max_new_tokens=max_new_tokens, sampling=sampling)


def listed(prompts: Any) -> list[Any]:
    """Prompts one by one: of a list each, but a list of messages is one conversation."""
    is_several = isinstance(prompts, list | tuple) and not (prompts and isinstance(prompts[0], Mapping))
    return list(prompts) if is_several else [prompts]
