"""switching: several adapters of one base, of which each call says which one answers.

The base is in memory once. An adapter is put on by merging it into the layers that it changes, and taken off
by giving these the base's own tensors back, bit by bit; so an answer costs what the base costs, and is what
the merged model says.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch import Tensor, nn

from lichen.core.digest import short
from lichen.core.errors import AdapterError, NotFoundError, UsageError, nearest
from lichen.core.model import Model
from lichen.engine import decode
from lichen.engine.decode import Decoder, Prompt
from lichen.engine.inputs import feeds
from lichen.engine.modules import backend
from lichen.engine.sampling import Sampling
from lichen.engine.task import task_of
from lichen.engine.training import adapters, merging, supervised

VIRTUAL = "virtual.weight"
"""The vectors of a learnt prompt, which the base has not."""


class Switch:
    """Adapters by name on one base, which answers by itself where none is named.

    Args:
        models: those with an adapter, each on the same base; or adapters alone, beside one that has it.

    Raises:
        AdapterError: one has no adapter, or another base; says both digests.
    """

    def __init__(self, models: Mapping[str, Model], *, device: str = "cpu") -> None:
        whole = next((model for model in models.values() if _has_base(model)), None)
        if whole is None:
            raise AdapterError("one of the adapters must stand on its base", hint="adapter.onto(base)")
        self.base = adapters.base_of(whole)
        self.models = {name: _on(model, self.base, name) for name, model in models.items()}
        self.module = backend.module_of(self.base).to(device)
        self._own: dict[str, Tensor] = {}
        """Tensors of the base that an adapter stands in for now."""
        self._worn: str | None = None
        self._lock = threading.RLock()

    def generate(
        self, prompts: Prompt | Sequence[Prompt], *, adapter: str | None = None, max_new_tokens: int = 100,
        temperature: float = 0.8, top_k: int | None = None, top_p: float | None = None,
        min_p: float | None = None, seed: int = 0, is_plain: bool = False,
    ) -> list[str]:  # fmt: skip
        """What the base says under an adapter, as `Model.generate` says it."""
        sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, seed=seed)
        with self.wearing(adapter) as (module, model):
            decoder = Decoder.around(module, model.assets, is_plain=is_plain)
            return decoder.generate(decode.listed(prompts), max_new_tokens=max_new_tokens, sampling=sampling)

    def predict(self, inputs: Any, *, adapter: str | None = None) -> list[dict[str, Any]]:
        """The task's reply per input, as `Model.predict` gives it."""
        with self.wearing(adapter) as (module, model):
            feed, task = feeds.of(model.assets), task_of(model.task)
            rows = np.stack([feed.decoded(item, f"input {place}", model.assets)
                             for place, item in enumerate(feed.listed(inputs))])  # fmt: skip
            return task.reply(supervised.outputs_of(module, rows, task, model.assets), model.assets)

    @contextmanager
    def wearing(self, adapter: str | None) -> Iterator[tuple[nn.Module, Model]]:
        """The net under an adapter, and the model that it then is; others wait until it is done.

        Raises:
            NotFoundError: no adapter has that name.
        """
        if adapter is not None and adapter not in self.models:
            raise NotFoundError(f"there is no adapter `{adapter}`", hint=nearest(adapter, self.models))
        with self._lock:
            if adapter != self._worn:
                self._take_off()
                if adapter is not None:
                    self._put_on(adapter)
            yield self.module, self.base if adapter is None else self.models[adapter]

    def _take_off(self) -> None:
        for name, tensor in self._own.items():
            self.module.get_parameter(name).data = tensor
        if self._worn is not None and VIRTUAL in _changed(self.models[self._worn]):
            setattr(self.module, VIRTUAL.partition(".")[0], None)
        self._own, self._worn = {}, None

    def _put_on(self, adapter: str) -> None:
        model = self.models[adapter]
        arrays, own = model.weights(), dict(self.module.named_parameters(remove_duplicate=False))
        device = next(self.module.parameters()).device
        self._worn = adapter
        for name in _changed(model):
            tensor = backend.tensor_of(arrays[name]).to(device)
            if name == VIRTUAL:
                self.module.virtual = nn.Embedding.from_pretrained(tensor)
                continue
            self._own[name] = own[name].data
            own[name].data = tensor


def _changed(model: Model) -> list[str]:
    """The tensors of the net that an adapter stands in for or adds."""
    about, own = model.face["adapter"], model.face["weights"]
    alone = {f"{layer}.{kind}" for layer in about["layers"] for kind in merging.kinds_of(about)}
    base = model.manifest["parts"][model.base_part]["weights"]
    its = [f"{layer}.{leaf}" for layer in about["layers"] for leaf in ("weight", "bias")]
    return [*(name for name in its if name in base), *(name for name in own if name not in alone)]


def _has_base(model: Model) -> bool:
    return model.is_adapted and model.face["base"] in {
        model.part_digest(part) for part in model.manifest["parts"]
    }


def _on(model: Model, base: Model, name: str) -> Model:
    if not model.is_adapted:
        raise AdapterError(f"`{name}` has no adapter", hint="adapt.instruct and adapt.adapter train one")
    if model.face["base"] != base.part_digest():
        raise AdapterError(
            f"adapters that are switched must have one base; `{name}` has {short(model.face['base'])}, not"
            f" {short(base.part_digest())}"
        )
    whole = model if _has_base(model) else model.onto(base)
    entries = base.face["weights"]
    for tensor in set(_changed(whole)) - {VIRTUAL}:
        stored = whole.face["weights"].get(tensor, entries.get(tensor))
        if tensor not in entries or stored["shape"] != entries[tensor]["shape"]:
            raise UsageError(
                f"`{name}` has a head of its own, so that it is no other adapter of the same net"
            )
    return whole
