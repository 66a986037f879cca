"""prompting: a language model, data and the way it is asked become the net `prompted`.

Shapes: K labels, N texts without content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from lichen.core.array import Array
from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.data import tokenizer, tokens
from lichen.data.tokenizer import Tokenizer
from lichen.engine.language import demonstrations, prompts
from lichen.engine.language.prompts import Told
from lichen.engine.modules import backend
from lichen.engine.training import execution
from lichen.engine.training.execution import Execution
from lichen.nets import prompted
from lichen.nets.prompted import Prompted


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a language model is asked; the options of `adapt.prompt`, which says what each is."""

    template: str
    instruction: str | None
    words: Mapping[str, Any] | None
    shots: int
    choice: str
    similarity: str
    pool: int
    order: int
    calibration: str
    scoring: str
    max_tokens: int
    seed: int

    def changed(self, options: Mapping[str, Any]) -> Way:
        known = {field.name for field in fields(self)}
        return replace(self, **{name: given for name, given in options.items() if name in known})

    @property
    def is_near(self) -> bool:
        return self.choice == "nearest" and self.shots > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A net that is asked one way, with what a Model of it has beside its base."""

    net: Prompted
    options: dict[str, Any]
    assets: dict[str, Any]
    words: tuple[str, ...]
    num_before: int

    @property
    def weights(self) -> dict[str, Array]:
        """Tensors beside those of the base."""
        return backend.arrays_of(_bare(self.net))


def _bare(net: Prompted) -> nn.Module:
    """A net's own tensors, without its body's."""
    bare = nn.Module()
    bare.head = net.head
    for name, buffer in net.named_buffers(recurse=False):
        if buffer is not None and name not in net._non_persistent_buffers_set:
            bare.register_buffer(name, buffer)
    return bare


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A language model that can be asked in several ways; its net is made once."""

    base: Model
    data: Dataset
    body: nn.Module
    teller: Tokenizer

    @classmethod
    def of(cls, base: Model, data: Dataset, device: str) -> Asked:
        """
        Raises:
            UsageError: its net does not let several labels be read side by side.
        """
        body = backend.module_of(base).to(device)
        if not hasattr(body, "logits_at"):
            raise UsageError(
                f"`{base.net}` cannot be prompted: it has no `logits_at`", hint="a gpt, or hf/..."
            )
        return cls(base=base, data=data, body=body, teller=tokenizer.of(base.assets["tokenizer"]))

    def net(self, way: Way) -> Made:
        """The net that is asked one way.

        Raises:
            OptionError: the template has no places, or words name no label.
            UsageError: the prompt leaves no room for a text, or train or the pool has not so many rows.
        """
        if way.is_near and way.pool < way.shots:
            raise UsageError(f"{way.shots} demonstrations must be chosen from so many rows at least, not from"
                             f" a pool of {way.pool}")  # fmt: skip
        template = prompts.template(way.template, way.instruction, way.words, self.data.labels)
        count = max(way.shots, min(way.pool, self.data.num_rows("train"))) if way.is_near else way.shots
        shown = demonstrations.chosen(
            self.data, count, is_balanced=way.choice == "balanced", order=way.order, seed=way.seed
        ) if count else []  # fmt: skip
        told = prompts.told(
            self.teller, template, shown, max_tokens=way.max_tokens, num_shown=way.shots,
            room=self.base.assets["max_tokens"],
        )  # fmt: skip
        neutral = tokens.within(self.teller, prompts.NEUTRAL, template.before)
        net = self._net(way, told, neutral)
        if way.is_near:
            texts = tokens.within(self.teller, [one.text for one in shown], template.before)
            read = [text[: told.room] for text in texts]
            demonstrations.offer(net, read, told.blocks, self.teller.size)
            net.to(next(self.body.parameters()).device)
        elif way.calibration == "contextual":
            _calibrate(net, neutral)
        about = {
            "template": way.template, "instruction": template.instruction, "words": list(template.words),
            "demonstrations": [{"text": one.text, "label": self.data.labels[one.label]} for one in shown]
            if not way.is_near else f"the {way.shots} nearest of {count}",
        }  # fmt: skip
        assets = {
            "labels": self.data.labels, "tokenizer": self.base.assets["tokenizer"], "max_tokens": told.room,
            "before": template.before, "prompt": about,
        }  # fmt: skip
        num_before = len(told.opening) + sum(sorted(map(len, told.blocks))[-way.shots :] if way.shots else [])
        return Made(net=net, options=self._options(net, told), assets=assets, words=template.words,
                    num_before=num_before)  # fmt: skip

    def _net(self, way: Way, told: Told, neutral: list[np.ndarray]) -> Prompted:
        """The net before it was given demonstrations to choose from, or calibrated."""
        shown = [] if way.is_near else [token for block in told.blocks for token in block]
        return Prompted(
            self.body, prefix=[*told.opening, *shown], suffix=told.suffix, labels=told.labels,
            is_mean=way.scoring == "mean", num_near=way.shots if way.is_near else 0, nearness=way.similarity,
            neutral=[text.tolist() for text in neutral] if way.is_near and way.calibration != "none" else [],
        ).to(next(self.body.parameters()).device).eval()  # fmt: skip

    def _options(self, net: Prompted, told: Told) -> dict[str, Any]:
        """What rebuilds the net."""
        return {
            "in_shape": [told.room, self.teller.size], "num_outputs": len(told.labels), "body": self.base.net,
            "body_options": dict(self.base.options), "prefix": net.prefix_P.tolist(), "suffix": told.suffix,
            "labels": told.labels, "is_mean": net.is_mean, "num_near": net.num_near, "nearness": net.nearness,
            "neutral": net.neutral,
        }  # fmt: skip

    def num_cut(self, made: Made, split: str) -> tuple[int, int]:
        """How many texts of a split are longer than what is read of them, of how many."""
        room, before = made.assets["max_tokens"], made.assets["before"]
        cut = 0
        for _, span in self.data.rows(split).spans():
            texts = [text.decode("utf-8", "replace") for text in span]
            cut += sum(len(text) > room for text in tokens.within(self.teller, texts, before))
        return cut, self.data.num_rows(split)


@torch.no_grad()
def _calibrate(net: Prompted, neutral: list[np.ndarray]) -> None:
    """Puts into the head what takes off the labels' share where a text says nothing."""
    longest = max(1, *map(len, neutral))
    rows = [[*text.tolist(), *[0] * (longest - len(text))] for text in neutral]
    x_BT = torch.tensor(rows, dtype=torch.int32, device=net.prefix_P.device)
    # One thread: the order of sums, and so every bit, is the same wherever it is done.
    with execution.in_force(Execution(), str(x_BT.device)):
        net.head.bias.copy_(-prompted.mean_bias(net.features(x_BT)[:, None])[0])
