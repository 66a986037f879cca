"""tuning: what of a language model learns further: all of it, or an adapter beside it.

Papers: as `adapters` has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from lichen.core.errors import GateError, UsageError
from lichen.core.model import Model
from lichen.core.progress import Run
from lichen.core.value import count_text
from lichen.data import chat
from lichen.engine.inputs import feeds
from lichen.engine.modules import backend
from lichen.engine.task import task_of
from lichen.engine.training import adapters
from lichen.engine.training.merging import PROMPT

EXACT = 1e-4
"""What merging may change of the loss of a token."""
ASKED_TOKENS = 2048
"""That are told twice, with the adapter merged and beside its base."""
RATES = {"full": 1e-4, "lora": 1e-3, "rslora": 5e-4, "dora": 1e-3, "ia3": 0.01, "prompt": 0.03}
"""Peak rates of AdamW."""
Rows = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a model learns further.

    Args:
        method: full, an adapter of layers, or prompt.
        alpha: None: twice the rank.
        num_virtual: vectors of a prompt.
    """

    method: str
    rank: int
    alpha: float | None
    targets: list[str] | None
    dropout: float
    num_virtual: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pupil:
    """A net ready to learn: `about` says how its adapter changes the base, None where all of it learns."""

    model: Model
    module: nn.Module
    about: dict[str, Any] | None
    options: Mapping[str, Any]
    assets: Mapping[str, Any]

    def finished(self, rows: Rows, run: Run) -> Model:
        """The model that the net has become.

        Args:
            rows: some of those that judge, on which merging is checked.

        Raises:
            GateError: merged, the adapter would not answer as it does beside its base.
        """
        module = self.module.to("cpu").eval()
        if self.about is None:
            return self.model.with_weights(
                backend.arrays_of(module), options=self.options, assets=self.assets
            )
        adapters.require_untouched(module, self.model.weights())
        made = self.model.adapted(
            adapters.taken_out(module, self.about), adapter=self.about, options=self.options,
            assets=self.assets,
        )  # fmt: skip
        learnt = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
        worst = _difference(module, made, rows[: max(1, ASKED_TOKENS // rows.shape[-1])])
        run.emit("note", text=f"{count_text(learnt)} of {count_text(made.num_params)} numbers learnt;"
                              f" merged it answers alike to {worst:.1e}")  # fmt: skip
        return made


def begun(model: Model, way: Way, *, template: str | None, seed: int) -> Pupil:
    """A net of a language model, of which what is to learn is not frozen.

    Args:
        template: of Jinja2, in place of the model's own; None: its own, or the plain one.

    Raises:
        UsageError: it is no language model, or has an adapter already.
    """
    if not feeds.are_packed(model.assets):
        raise UsageError(f"only a language model learns to answer; this one is for {model.task or 'no task'}")
    if model.is_adapted and way.method != "full":
        raise UsageError("the model has an adapter already", hint="adapt.merge makes it a base")
    assets, options, module = dict(model.assets), dict(model.options), model.torch()
    if template is not None or not assets.get("template"):
        assets["template"] = chat.plain(assets["tokenizer"], template or chat.PLAIN)
    if way.method == "full":
        return Pupil(model=model, module=module, about=None, options=options, assets=assets)
    about = {"method": way.method, "rank": way.rank, "alpha": way.alpha or 2.0 * way.rank, "layers": []}
    if way.method == PROMPT:
        adapters.put_before(module, way.num_virtual, seed=seed)
        options["num_virtual"] = assets["num_virtual_tokens"] = way.num_virtual
    else:
        about["layers"] = adapters.targets(module, way.method, way.targets)
        adapters.put_in(module, about, dropout=way.dropout, seed=seed)
    return Pupil(model=model, module=module, about=about, options=options, assets=assets)


@torch.no_grad()
def _difference(module: nn.Module, made: Model, rows: Rows) -> float:
    """The largest difference that merging makes to the loss of a token, as a share of the largest.

    The net is the merged one afterwards: a second one might not fit beside it.
    """
    task, told = task_of(made.task), torch.from_numpy(np.array(rows))
    beside_BT = task.told(module, told, made.assets)  # type: ignore[attr-defined]
    adapters.merge_in(module, made)
    merged_BT = task.told(module, told, made.assets)  # type: ignore[attr-defined]
    worst = float((beside_BT - merged_BT).abs().max() / beside_BT.abs().max().clamp(min=1e-12))
    if not worst <= EXACT:
        raise GateError(
            f"merged, the adapter must tell tokens as beside its base to {EXACT:g} of the largest loss;"
            f" it differs by {worst:.2g}",
            hint="targets=[...] without the layers whose weights the net also reads elsewhere",
        )
    return worst
