"""model: a trainable value: named parts of (net, options, weights), a face, a task and assets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from lichen.core import find
from lichen.core.array import Array
from lichen.core.packing import pack, unpack
from lichen.core.value import Chain, Memory, Value, count_text, size_text

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Model(Value):
    """A network with everything needed to rebuild it, train it on and answer with it.

    `parts[name]` is `{"net": address, "options": {...}, "weights": {tensor: entry}}`; one part is the face
    that tasks talk to. `assets` are small JSON values (labels, normalisers); `task` names what is learnt.
    """

    kind: ClassVar[str] = "model"

    @classmethod
    def build(
        cls,
        *,
        net: str,
        options: Mapping[str, Any],
        weights: Mapping[str, Array],
        task: str | None = None,
        task_options: Mapping[str, Any] | None = None,
        assets: Mapping[str, Any] | None = None,
        part: str = "net",
    ) -> Model:
        """A Model of one part.

        Args:
            net: the net's address, such as `resnet20`, `timm/vit_tiny_patch16_224` or `module:name`.
            options: what the net's builder is called with; JSON.
            weights: every parameter and buffer by its name.
            task: the task's name; None when nothing is to be learnt with it.
            assets: JSON that travels with the weights: `labels`, `mean`, `std`, `image_size`, ...
        """
        memory = Memory()
        entry = {"net": net, "options": dict(options), "weights": pack(weights, memory)}
        manifest = {
            "kind": "model",
            "face": part,
            "parts": {part: entry},
            "task": {"name": task, "options": dict(task_options or {})} if task else None,
            "assets": dict(assets or {}),
        }
        return cls(manifest=manifest, blobs=memory)

    @property
    def face(self) -> Mapping[str, Any]:
        return self.manifest["parts"][self.manifest["face"]]

    @property
    def net(self) -> str:
        return self.face["net"]

    @property
    def options(self) -> Mapping[str, Any]:
        return self.face["options"]

    @property
    def task(self) -> str | None:
        return self.manifest["task"]["name"] if self.manifest["task"] else None

    @property
    def task_options(self) -> Mapping[str, Any]:
        return self.manifest["task"]["options"] if self.manifest["task"] else {}

    @property
    def assets(self) -> Mapping[str, Any]:
        return self.manifest["assets"]

    def weights(self, part: str | None = None) -> dict[str, Array]:
        """The tensors of a part (the face's without a name), read-only and mapped where possible."""
        entries = self.manifest["parts"][part or self.manifest["face"]]["weights"]
        return {name: unpack(entry, self.blobs) for name, entry in entries.items()}

    def with_weights(
        self,
        weights: Mapping[str, Array],
        *,
        options: Mapping[str, Any] | None = None,
        assets: Mapping[str, Any] | None = None,
    ) -> Model:
        """The same net and task with other tensors; unchanged tensors keep their blobs."""
        memory = Memory()
        face = dict(self.face, weights=pack(weights, memory))
        if options is not None:
            face["options"] = dict(options)
        parts = {**self.manifest["parts"], self.manifest["face"]: face}
        manifest = {**self.manifest, "parts": parts}
        if assets is not None:
            manifest["assets"] = dict(assets)
        return replace(self, manifest=manifest, blobs=Chain((memory, self.blobs)), made=None)

    @property
    def num_params(self) -> int:
        """Floating-point numbers stored, buffers included."""
        return sum(_count(entry["shape"]) for part in self.manifest["parts"].values()
                   for entry in part["weights"].values() if "float" in entry["dtype"])  # fmt: skip

    @property
    def size_bytes(self) -> int:
        return sum(
            entry["size"] for part in self.manifest["parts"].values() for entry in part["weights"].values()
        )

    def torch(self) -> nn.Module:
        """A plain `nn.Module` in eval mode with a copy of the weights; changing it changes nothing here."""
        return find.load("lichen.engine.backend:module_of")(self)

    def predict(self, inputs: Any) -> list[dict[str, Any]]:
        """Answers as a person reads them, through the one path that `evaluate` and `serve` use."""
        return find.load("lichen.engine.answer:predict")(self, inputs)

    def facts(self) -> dict[str, str]:
        facts = {
            "net": self.net,
            "parameters": count_text(self.num_params),
            "size": size_text(self.size_bytes),
        }
        return {**facts, "task": self.task} if self.task else facts


def _count(shape: list[int]) -> int:
    total = 1
    for length in shape:
        total *= length
    return total
