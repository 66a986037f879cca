"""talking: `chat`: a language model answers, or goes on from what it is told, word by word as they come."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lichen.cli.main import Answer, Verb, argument
from lichen.cli.values import VALUE, subject
from lichen.core.errors import UsageError

if TYPE_CHECKING:
    from lichen.engine.decode import Decoder, Prompt, Sampling


def chat(given: Namespace) -> Answer:
    """Says what follows a prompt, or each line that is typed or piped in.

    A model that was taught conversations answers each line, and remembers those before; plainly asked, it
    goes on from each.
    """
    from lichen.data import conversations
    from lichen.engine.decode import Decoder, Sampling

    value = subject(given.value, "chat")
    sampling = Sampling(temperature=given.temperature, top_k=given.top_k, top_p=given.top_p,
                        min_p=given.min_p, seed=given.seed)  # fmt: skip
    decoder = Decoder.of(value, is_plain=given.plain)
    prompts = [given.prompt] if given.prompt is not None else _typed()
    if given.system is not None and decoder.chat is None:
        raise UsageError(
            "--system is said in a model's template; it goes with no --plain" if given.plain else
            "--system speaks to a model that was taught conversations; this one was not",
            hint=None if given.plain else "adapt.instruct teaches them",
        )  # fmt: skip
    begun = [] if given.system is None else [{"role": "system", "content": given.system}]
    if given.json:
        asked = list(prompts)
        whole = [[*begun, {"role": "user", "content": one}] if begun else one for one in asked]
        texts = decoder.generate(whole, max_new_tokens=given.max_tokens, sampling=sampling)
        return Answer("", [{"prompt": a, "text": b} for a, b in zip(asked, texts, strict=True)])
    for prompt in prompts:
        if decoder.chat is None:
            sys.stdout.write(prompt)
            _say(decoder, prompt, given.max_tokens, sampling)
            continue
        begun.append({"role": "user", "content": prompt})
        said = _say(decoder, begun, given.max_tokens, sampling)
        begun.append({"role": conversations.ANSWERS, "content": said})
    return Answer()


def _typed() -> Iterator[str]:
    """Lines of a person at a terminal, or of a pipe; empty ones end nothing and say nothing."""
    is_terminal = sys.stdin.isatty()
    while True:
        if is_terminal:
            sys.stderr.write("> ")
            sys.stderr.flush()
        if not (line := sys.stdin.readline()):
            return
        if line.strip():
            yield line.rstrip("\n")


def _say(decoder: Decoder, prompt: Prompt, max_tokens: int, sampling: Sampling) -> str:
    """What was said."""
    parts = []
    for text in decoder.stream(prompt, max_new_tokens=max_tokens, sampling=sampling):
        parts.append(text)
        sys.stdout.write(text)
        sys.stdout.flush()
    sys.stdout.write("\n")
    sys.stdout.flush()
    return "".join(parts)


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
