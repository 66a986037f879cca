"""chat: a conversation as the tokens that a model reads, by its template.

A template is a text of Jinja2 over `messages`, as transformers keeps it with a tokenizer, and renders to the
same bytes here: in a sandbox, without a clock, so that it says the same tomorrow. A model that came with none
takes `PLAIN`. Which tokens are answers is found by rendering: an answer is what a conversation says beyond
what was asked, up to the token that ends it. What is said within a message is text: a special token that it
spells ends no turn and begins none.

Shapes: S tokens of a conversation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lichen.core.digest import digest_json
from lichen.core.errors import DataError, UsageError, missing_package
from lichen.data import tokenizer
from lichen.data.conversations import ANSWERS, Message
from lichen.data.files import read_bytes
from lichen.data.tokenizer import END, PAD, SPECIAL, Tokenizer

PLAIN = """\
{{ bos_token }}{% for message in messages %}{{ message['role'] + '\\n' + message['content'] + eos_token }}\
{% endfor %}{% if add_generation_prompt %}{{ 'assistant\\n' }}{% endif %}"""
TURN = SPECIAL.index("unused")
"""Ends a turn where the tokenizer is our own, whose END begins documents."""
LONGEST = 200_000
"""Letters of a template; the longest in use have a tenth."""
APART = "\ufdd0"
"""Keeps the letters of a special token apart where a message spells it; Unicode has it for no text."""
FAULTS = (TypeError, ValueError, LookupError, ArithmeticError, RecursionError, AttributeError, MemoryError)
"""What a template may raise beside errors of its library."""


def asset_of(folder: Path) -> dict[str, Any] | None:
    """The template in a folder as transformers writes it, with the tokens it may name; None: it has none."""
    config = _config(folder / "tokenizer_config.json")
    source = config.get("chat_template")
    if isinstance(source, list):  # several by name
        source = next((one.get("template") for one in source if one.get("name") == "default"), None)
    if (path := folder / "chat_template.jinja").is_file():
        source = read_bytes(path).decode("utf-8", "replace")
    if not isinstance(source, str) or not source:
        return None
    tokens = {name: _word(said) for name, said in config.items() if name.endswith("_token") and _word(said)}
    return asset(source, tokens)


def asset(source: str, tokens: Mapping[str, Any]) -> dict[str, Any]:
    """A template as a Model keeps it.

    Raises:
        DataError: it is no template.
    """
    _compiled(source)
    return {"source": source, "tokens": dict(tokens)}


def plain(told: Mapping[str, Any], source: str = PLAIN) -> dict[str, Any]:
    """A template for a tokenizer that came with none; names the tokens that begin and end what is said.

    Args:
        told: the asset of the tokenizer.
    """
    if told["kind"] == "bpe":
        return asset(source, {"bos_token": _name(END), "eos_token": _name(TURN)})
    made, backend = tokenizer.of(told), tokenizer.speaking(told)
    stop = min(made.stops - {made.end}, default=made.end)
    return asset(source, {"bos_token": backend.id_to_token(made.traded(made.end)),
                          "eos_token": backend.id_to_token(made.traded(stop))})  # fmt: skip


def _name(number: int) -> str:
    return f"<|{SPECIAL[number]}|>"


def _word(said: Any) -> Any:
    """A special token's word, which files give plainly or with how it is cut."""
    return said.get("content") if isinstance(said, dict) else said if isinstance(said, str) else None


def _config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"the configuration of a tokenizer must be JSON: {error}", where=str(path)) from None
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True, eq=False)
class Chat:
    """A template at work.

    Args:
        speaking: the library's tokenizer, which takes special tokens where a text spells them.
        apart: its number for APART. spelled: any of its special tokens.
        stops: tokens that end an answer.
        num_virtual: learnt vectors that stand before every conversation, under numbers beyond the vocabulary.
        digest: of all that decides how conversations are read.
    """

    tokenizer: Tokenizer
    source: str
    tokens: Mapping[str, str]
    speaking: Any
    apart: int
    spelled: re.Pattern[str]
    stops: frozenset[int]
    num_virtual: int
    digest: str

    def render(self, messages: Sequence[Message], *, asks: bool = False) -> str:
        """The text of a conversation.

        Args:
            asks: it ends where the model is to answer.

        Raises:
            DataError: the template refuses it.
        """
        jinja2 = _package()
        try:
            return _compiled(self.source).render(
                messages=list(messages), tools=None, documents=None, add_generation_prompt=asks, **self.tokens
            )
        except (jinja2.TemplateError, *FAULTS) as error:
            raise DataError(f"the model's template refuses this conversation: {str(error)[:200]}") from None

    def prompt(self, messages: Sequence[Message]) -> np.ndarray:
        """int32 (S,): what is read before an answer; the first number is marked as a beginning."""
        return self._begun(self._encoded(self.render(self._as_text(messages), asks=True))[0])

    def told(self, messages: Sequence[Message]) -> tuple[np.ndarray, np.ndarray]:
        """int32 (S,) twice: what is read, its beginning marked, and which token each place is to tell.

        PAD where it is to tell none: only answers are told.

        Raises:
            DataError: the template refuses the conversation, or shows no answer.
        """
        messages = self._as_text(messages)
        whole = self.render(messages)
        numbers_S, start_S = self._encoded(whole)
        is_told_S = np.zeros(len(numbers_S), bool)
        for start, end in self._answers(messages, whole):
            its = np.flatnonzero((start_S >= start) & (start_S < end))
            over = np.flatnonzero(np.isin(numbers_S[its], list(self.stops)))
            is_told_S[its[: over[0] + 1] if len(over) else its] = True
        if not is_told_S[1:].any():
            raise DataError("the model's template shows no answer of this conversation")
        read_S = self._begun(numbers_S)
        told_S = np.where(is_told_S, numbers_S, PAD)
        return read_S[:-1], np.concatenate([np.full(len(read_S) - len(told_S), PAD, np.int32), told_S])[1:]

    def _as_text(self, messages: Sequence[Message]) -> list[Message]:
        """Messages in which no special token stands, whatever they spell."""
        return [
            {**one, "content": self.spelled.sub(lambda found: APART.join(found[0]), one["content"])}
            for one in messages
        ]

    def _answers(self, messages: Sequence[Message], whole: str) -> list[tuple[int, int]]:
        """Where answers begin and end in the text of a conversation."""
        found = []
        for place, message in enumerate(messages):
            if message["role"] == ANSWERS:
                before, is_last = self.render(messages[:place], asks=True), place + 1 == len(messages)
                after = whole if is_last else self.render(messages[: place + 1])
                found.append((_common(before, after), _common(after, whole)))
        return found

    def _encoded(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of a text, and the letter at which each begins."""
        found = self.speaking.encode(text, add_special_tokens=False)
        if not found.ids:
            raise DataError("the model's template makes nothing of this conversation")
        said = [
            (self.tokenizer.traded(number), start)
            for number, (start, _) in zip(found.ids, found.offsets, strict=True) if number != self.apart
        ]  # fmt: skip
        return np.array([number for number, _ in said], np.int32), np.array([start for _, start in said])

    def _begun(self, numbers_S: np.ndarray) -> np.ndarray:
        """The numbers after the virtual ones; the first of all as its complement, which begins a document."""
        virtual = np.arange(self.num_virtual, dtype=np.int32) + self.tokenizer.size
        found_S = np.concatenate([virtual, numbers_S])
        found_S[0] = ~found_S[0]
        return found_S


def of(assets: Mapping[str, Any]) -> Chat:
    """How a model of these assets reads conversations; by `PLAIN` where it has no template.

    Raises:
        UsageError: the model reads no texts, or its template is damaged.
    """
    try:
        told = assets["tokenizer"]
        template = assets.get("template") or plain(told)
        source, tokens = str(template["source"]), {str(k): str(v) for k, v in template["tokens"].items()}
        num_virtual = int(assets.get("num_virtual_tokens", 0))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"the model's template is damaged: {error}") from None
    found, backend = tokenizer.of(told), tokenizer.speaking(told, APART)
    words = [one.content for one in backend.get_added_tokens_decoder().values() if one.special]
    spelled = re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))))
    stop = backend.token_to_id(tokens.get("eos_token", ""))
    stops = found.stops | (frozenset() if stop is None else {found.traded(stop)})
    digest = digest_json([found.digest, source, tokens, num_virtual])
    return Chat(
        found, source, tokens, backend, backend.token_to_id(APART), spelled, stops, num_virtual, digest
    )


def _common(one: str, other: str) -> int:
    """Letters at the beginning that are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


@lru_cache(maxsize=8)
def _compiled(source: str) -> Any:
    """A template, in the environment that transformers renders it in.

    Raises:
        DataError: it is none.
    """
    jinja2 = _package()
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """Marks of where answers stand; they say nothing here."""

        tags = {"generation"}  # noqa: RUF012 - what the library says it is

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    if len(source) > LONGEST:
        raise DataError(f"a template must have {LONGEST} letters at most, not {len(source)}")
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    made.filters["tojson"] = _json
    made.globals["raise_exception"] = refuse
    try:
        return made.from_string(source)
    except (jinja2.TemplateError, *FAULTS) as error:
        raise DataError(f"a template must be Jinja2: {str(error)[:200]}") from None


def _json(
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _package() -> Any:
    try:
        import jinja2
    except ImportError:
        raise missing_package("jinja2", "text") from None
    return jinja2
