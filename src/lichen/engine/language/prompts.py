"""prompts: how a row is put to a language model: an instruction, demonstrations, the text, a label's words.

A template has {text} and, after it, {label}; {labels} stands for the words of all of them. Pieces of it are
told in tokens each for itself, the spaces between two belonging to the second, as byte pairs have it; so what
stands before the text is the same in every row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lichen.core.errors import OptionError, UsageError, nearest
from lichen.data import tokens
from lichen.data.tokenizer import Tokenizer

TEMPLATES = {
    "text": ("", "Text: {text}\nLabel: {label}"),
    "review": ("", "Review: {text}\nSentiment: {label}"),
    "article": ("Classify each article as {labels}.", "Article: {text}\nAnswer: {label}"),
    "was": ("", "{text} It was {label}."),
    "question": ("", "{text}\nQuestion: Is this {labels}?\nAnswer: {label}"),
    "task": ("Say for each text whether it is {labels}.", "Text: {text}\nAnswer: {label}"),
}
"""Templates by name: an instruction and a pattern. `review` and `article` are as in Zhao et al. 2021, `was`
as in Gao et al. 2021."""
APART = "\n\n"
"""Between an instruction, demonstrations and the row."""
NEUTRAL = ("N/A", "[MASK]", "")
"""Texts without content (Zhao et al. 2021, section 4.2)."""
LEAST = 8
"""Tokens of a text that must find room at least."""
MARK = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What stands around a text and its label, and the words of each label."""

    instruction: str
    head: str
    middle: str
    tail: str
    words: tuple[str, ...]

    @property
    def before(self) -> str:
        """The spaces that a text begins with."""
        return self.head[len(self.head.rstrip(" ")) :]


def template(
    name: str, instruction: str | None, words: Mapping[str, Any] | None, labels: Sequence[str]
) -> Template:
    """A template by its name, or of a pattern.

    Args:
        instruction: stands before all else; None: the named template's own.
        words: by label; None: the labels themselves.

    Raises:
        OptionError: no such name, a pattern without {text} before {label}, or words of other labels.
    """
    own, pattern = TEMPLATES.get(name, ("", name.replace("\\n", "\n")))
    if name not in TEMPLATES and "{" not in name:
        raise OptionError(
            f"unknown template `{name}`", hint=nearest(name, TEMPLATES) or "'{text} is {label}'"
        )
    chosen = own if instruction is None else instruction.replace("\\n", "\n")
    told = _words(words, labels)
    pattern, chosen = (_filled(part, told) for part in (pattern, chosen))
    if not (pattern.count("{text}") == pattern.count("{label}") == 1
            and pattern.index("{text}") < pattern.index("{label}")):  # fmt: skip
        raise OptionError(f"a template must have {{text}} once and then {{label}} once, not {pattern!r}")
    head, rest = pattern.split("{text}")
    middle, tail = rest.split("{label}")
    if not middle.strip(" "):
        raise OptionError(f"a template must say something between {{text}} and {{label}}, not {pattern!r}",
                          hint="'{text}\\nLabel: {label}'")  # fmt: skip
    return Template(instruction=chosen, head=head, middle=middle, tail=tail, words=told)


def _words(words: Mapping[str, Any] | None, labels: Sequence[str]) -> tuple[str, ...]:
    """The words of each label, in the labels' order."""
    given = {str(label): str(word).strip() for label, word in (words or {}).items()}
    for label in given:
        if label not in labels:
            raise OptionError(f"`words` names no label `{label}`", hint=nearest(label, labels))
    told = tuple(given.get(label, label) for label in labels)
    if len(set(told)) < len(told) or not all(told):
        raise OptionError(f"every label must have words of its own, not {', '.join(map(repr, told))}")
    return told


def _filled(part: str, words: Sequence[str]) -> str:
    for mark in MARK.findall(part):
        if mark not in ("text", "label", "labels"):
            raise OptionError(f"a template has no place `{{{mark}}}`", hint="{text}, {label}, {labels}")
    listed = f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
    return part.replace("{labels}", listed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    text: str
    label: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A prompt in tokens.

    Args:
        opening: what comes before all texts, demonstrations left out. suffix: between a text and its label.
        labels: the tokens of each. blocks: of each demonstration, up to where the next text begins.
        room: tokens that are read of a text.
    """

    opening: list[int]
    suffix: list[int]
    labels: list[list[int]]
    blocks: list[list[int]]
    room: int


def told(
    teller: Tokenizer, template: Template, demonstrations: Sequence[Demonstration], *, max_tokens: int,
    room: int, num_shown: int,
) -> Told:  # fmt: skip
    """A template and demonstrations in tokens.

    Args:
        max_tokens: read of a text at most. room: of the model, for all that it reads.
        num_shown: demonstrations that one row is shown.

    Raises:
        UsageError: they leave no room for a text.
    """
    head, middle = template.head.rstrip(" "), template.middle.rstrip(" ")
    spaces = template.middle[len(middle) :]
    opening = [teller.end, *_tokens(teller, _joined(template.instruction, head), is_first=True)]
    suffix = _tokens(teller, middle)
    labels = [_tokens(teller, spaces + word) for word in template.words]
    link = _tokens(teller, template.tail + APART + head)
    texts = tokens.within(teller, [one.text for one in demonstrations], template.before)
    blocks = [
        [*text[:max_tokens].tolist(), *suffix, *labels[one.label], *link]
        for text, one in zip(texts, demonstrations, strict=True)
    ]
    longest = sorted(map(len, blocks))[-num_shown:] if num_shown else []
    taken = len(opening) + sum(longest) + len(suffix) + max(map(len, labels)) - 1
    if room - taken < LEAST:
        raise UsageError(
            f"the prompt alone takes {taken} of the {room} tokens that the model reads",
            hint="fewer shots, or smaller max_tokens",
        )
    return Told(
        opening=opening, suffix=suffix, labels=labels, blocks=blocks, room=min(max_tokens, room - taken)
    )


def _tokens(teller: Tokenizer, piece: str, *, is_first: bool = False) -> list[int]:
    found = teller.encode([piece]) if is_first else teller.encode_within([piece])
    return found[0].tolist() if piece else []


def _joined(instruction: str, head: str) -> str:
    return f"{instruction}{APART}{head}" if instruction else head
