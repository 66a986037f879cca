"""talking: `chat`: a language model answers, or goes on from what it is told, word by word as they come."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from lichen.cli.main import Answer, Verb, argument
from lichen.cli.values import VALUE, subject
from lichen.core.errors import DataError, OptionError, UsageError

if TYPE_CHECKING:
    from lichen.engine.decode import Decoder, Prompt
    from lichen.engine.sampling import Sampling

STOPPED = 130
"""The exit code of what Ctrl-C ended, as shells have it."""


def chat(given: Namespace) -> Answer:
    """Says what follows a prompt, or each line that is typed or piped in.

    A model that was taught conversations answers each line, and remembers those before; plainly asked, it
    goes on from each. In JSON every line is a conversation of its own.
    """
    from lichen.engine.decode import Decoder
    from lichen.engine.sampling import Sampling

    if given.max_tokens < 1:
        raise OptionError(f"`--max-tokens` must be 1 at least, not {given.max_tokens}")
    sampling = Sampling(temperature=given.temperature, top_k=given.top_k, top_p=given.top_p,
                        min_p=given.min_p, seed=given.seed)  # fmt: skip
    decoder = Decoder.of(subject(given.value, "chat"), is_plain=given.plain)
    if given.system is not None and decoder.chat is None:
        raise UsageError(
            "--system is said in a model's template; it goes with no --plain" if given.plain else
            "--system speaks to a model that was taught conversations; this one was not",
            hint=None if given.plain else "adapt.instruct teaches them",
        )  # fmt: skip
    prompts = [given.prompt] if given.prompt is not None else _typed(decoder)
    begun = [] if given.system is None else [{"role": "system", "content": given.system}]
    if given.json:
        asked = list(prompts)
        whole = [[*begun, {"role": "user", "content": one}] if begun else one for one in asked]
        texts = decoder.generate(whole, max_new_tokens=given.max_tokens, sampling=sampling)
        return Answer("", [{"prompt": a, "text": b} for a, b in zip(asked, texts, strict=True)])
    return _talk(decoder, prompts, begun, given.max_tokens, sampling)


def _talk(
    decoder: Decoder, prompts: Iterable[str], begun: list[dict[str, str]], max_tokens: int, sampling: Sampling
) -> Answer:
    """Prompts as they come; Ctrl-C ends an answer, and away from a terminal all of it."""
    from lichen.data import conversations

    is_warned = False
    for prompt in prompts:
        if decoder.chat is not None:
            begun.append({"role": "user", "content": prompt})
        asked = prompt if decoder.chat is None else begun
        is_warned = is_warned or _warned(decoder, asked)
        said, is_whole = _said(decoder, asked, max_tokens, sampling)
        if decoder.chat is not None:
            begun.append({"role": conversations.ANSWERS, "content": said})
        if not (is_whole or sys.stdin.isatty()):
            return Answer(code=STOPPED)
    return Answer()


def _typed(decoder: Decoder) -> Iterator[str]:
    """Lines of a person at a terminal, or of a pipe; empty ones end nothing and say nothing.

    Raises:
        DataError: it is no UTF-8.
        UsageError: nothing was piped in.
    """
    if sys.stdin.isatty():
        yield from _asked(decoder)
        return
    is_empty = True
    try:
        for line in sys.stdin:
            if line.strip():
                is_empty = False
                yield line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise DataError(f"what is piped in must be UTF-8: {error.reason}") from None
    if is_empty:
        raise UsageError("there is nothing to go on from: no line was piped in", hint="--prompt TEXT")


def _asked(decoder: Decoder) -> Iterator[str]:
    """Lines as they are typed, until Ctrl-D or Ctrl-C."""
    with suppress(ImportError):
        import readline  # noqa: F401 - a line can be edited, and those before it called back
    does = "goes on from each line" if decoder.chat is None else "answers each line and remembers the others"
    sys.stderr.write(f"It {does}; Ctrl-C stops an answer, Ctrl-D ends.\n")
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            line = input("> ")
            if line.strip():
                yield line
    sys.stderr.write("\n")


def _warned(decoder: Decoder, prompt: Prompt) -> bool:
    """Says so where a prompt is longer than what the net reads; whether it is."""
    unheard = decoder.unheard(len(decoder.read(prompt)))
    if unheard:
        sys.stderr.write(f"note: {unheard}\n")
    return unheard is not None


def _said(decoder: Decoder, prompt: Prompt, max_tokens: int, sampling: Sampling) -> tuple[str, bool]:
    """What was said, character by character as they come, and whether it was not stopped by Ctrl-C."""
    parts, is_whole = [], True
    if isinstance(prompt, str):
        sys.stdout.write(prompt)
    try:
        for text in decoder.stream(prompt, max_new_tokens=max_tokens, sampling=sampling):
            parts.append(text)
            sys.stdout.write(text)
            sys.stdout.flush()
    except KeyboardInterrupt:
        is_whole = False
    sys.stdout.write("\n")
    sys.stdout.flush()
    return "".join(parts), is_whole


VERBS = {
    "chat": Verb("let a language model answer, or go on from a text", chat, (
        VALUE,
        argument("--prompt", metavar="TEXT", help="one text; otherwise each line that is typed or piped in"),
        argument("--system", metavar="TEXT", help="how a model that was taught conversations is to answer"),
        argument("--plain", action="store_true",
                 help="go on from the text without the model's template, as from a document's beginning"),
        argument("--max-tokens", type=int, default=200, metavar="N", help="tokens at most (default 200)"),
        argument("--temperature", type=float, default=0.8, metavar="T",
                 help="0: always the likeliest token; above 1 unlikely ones come oftener (default 0.8)"),
        argument("--top-k", type=int, metavar="K", help="draw from the K likeliest tokens alone"),
        argument("--top-p", type=float, metavar="P", help="from the fewest with this share of the chances"),
        argument("--min-p", type=float, metavar="P", help="from those so far as likely as the likeliest"),
        argument("--seed", type=int, default=0, help="the same seed says the same (default 0)"),
    )),
}  # fmt: skip
