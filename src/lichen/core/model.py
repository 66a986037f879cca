"""model: a trainable value: named parts of (net, options, weights), a face, a task and assets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

from lichen.core import find
from lichen.core.array import Array
from lichen.core.digest import digest_json, short
from lichen.core.errors import AdapterError
from lichen.core.packing import pack, unpack
from lichen.core.value import Chain, Memory, Value, count_text, size_text

if TYPE_CHECKING:
    from torch import nn

ADAPTER = "adapter"
"""What the part of an adapter is called."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Model(Value):
    """A network with everything needed to rebuild it, train it on and answer with it.

    `parts[name]` is `{"net": address, "options": {...}, "weights": {tensor: entry}}`; one part is the face
    that tasks talk to. `assets` are small JSON values (labels, normalisers); `task` names what is learnt.

    An adapter is a part that also has `adapter`, how it changes its base's tensors, and `base`, the digest of
    the part that it changes. It is the face; the base beside it keeps its blobs, shared with the model that
    it came from.
    """

    kind: ClassVar[str] = "model"

    @classmethod
    def build(
        cls,
        *,
        net: str | None,
        options: Mapping[str, Any],
        weights: Mapping[str, Array],
        task: str | None = None,
        task_options: Mapping[str, Any] | None = None,
        assets: Mapping[str, Any] | None = None,
        part: str = "net",
    ) -> Model:
        """A Model of one part.

        Args:
            net: the net's address, such as `resnet20`, `timm/vit_tiny_patch16_224` or `module:name`; None: it
                has assets alone, as a tokenizer does.
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
    def net(self) -> str | None:
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
        """The tensors that the face computes with, its adapter merged; of a named part those that it holds.

        They are read-only, and mapped where possible.

        Raises:
            AdapterError: the face is an adapter whose base is not here.
        """
        if part is None and self.is_adapted:
            merged = find.load("lichen.engine.training.merging:merged")
            return merged(
                self.weights(self.base_part), self.weights(self.manifest["face"]), self.face[ADAPTER]
            )
        entries = self.manifest["parts"][part or self.manifest["face"]]["weights"]
        return {name: unpack(entry, self.blobs) for name, entry in entries.items()}

    @property
    def is_adapted(self) -> bool:
        """Whether the face is an adapter, with its base or alone."""
        return self.face.get("base") is not None

    def part_digest(self, part: str | None = None) -> str:
        """What an adapter knows its base by: net, options and weights, whatever the task and labels."""
        return digest_json(self.manifest["parts"][part or self.manifest["face"]])

    @property
    def base_part(self) -> str:
        """The name of the part that the adapter changes."""
        parts = self.manifest["parts"]
        found = [name for name in parts if self.part_digest(name) == self.face["base"]]
        if not found:
            raise AdapterError(
                f"an adapter answers only on its base, {short(self.face['base'])} (`{self.net}`)",
                hint="adapter.onto(base)",
            )
        return found[0]

    def _without(self, part: str) -> dict[str, Any]:
        return {name: entry for name, entry in self.manifest["parts"].items() if name != part}

    def adapted(
        self,
        weights: Mapping[str, Array],
        *,
        adapter: Mapping[str, Any],
        options: Mapping[str, Any],
        assets: Mapping[str, Any],
        net: str | None = None,
        task: str | None = None,
    ) -> Model:
        """This model under an adapter: its own part stays as it is, down to the blobs.

        Args:
            weights: the adapter's tensors, and those that stand in for the base's own of the same name.
            adapter: how it changes the base; JSON.
            options: of the net as it is with the adapter, such as another number of outputs.
            net: that of the whole, around the base's; None: the base's own. task: None: the base's.
        """
        assert not self.is_adapted
        memory, part = Memory(), self.manifest["face"]
        face = {
            "net": net or self.net, "options": dict(options), "weights": pack(weights, memory),
            "adapter": dict(adapter), "base": self.part_digest(part),
        }  # fmt: skip
        parts = {**self.manifest["parts"], ADAPTER: face}
        manifest = {**self.manifest, "face": ADAPTER, "parts": parts, "assets": dict(assets)}
        if task is not None:
            manifest["task"] = {"name": task, "options": {}}
        return replace(self, manifest=manifest, blobs=Chain((memory, self.blobs)), made=None)

    def adapter(self) -> Model:
        """The adapter alone: small to keep and to send, and of use to whoever has the base.

        Raises:
            AdapterError: there is none.
        """
        if not self.is_adapted:
            raise AdapterError(f"this model of `{self.net}` has no adapter", hint="adapt.adapter trains one")
        parts = self.manifest["parts"]
        kept = {name: parts[name] for name in parts if self.part_digest(name) != self.face["base"]}
        return replace(self, manifest={**self.manifest, "parts": kept}, made=None)

    def base(self) -> Model:
        """The model without its adapter, itself where it has none.

        Raises:
            AdapterError: it is an adapter alone.
        """
        if not self.is_adapted:
            return self
        manifest = {**self.manifest, "face": self.base_part, "parts": self._without(self.manifest["face"])}
        return replace(self, manifest=manifest, made=None)

    def onto(self, base: Model) -> Model:
        """This adapter on its base: the model that it was taken from, digest and all.

        Args:
            base: the model that the adapter was trained on, or any that has the same base.

        Raises:
            AdapterError: it was trained on another base; says both digests.
        """
        alone = self.adapter()
        part = base.base_part if base.is_adapted else base.manifest["face"]
        if base.part_digest(part) != alone.face["base"]:
            raise AdapterError(
                f"an adapter goes onto the base it was trained on, {short(alone.face['base'])}"
                f" (`{alone.net}`), not onto {short(base.part_digest(part))} (`{base.net}`)",
                hint="its lineage says which model that was: lichen show",
            )
        parts = {part: base.manifest["parts"][part], **alone.manifest["parts"]}
        blobs = Chain((self.blobs, base.blobs))
        return replace(self, manifest={**alone.manifest, "parts": parts}, blobs=blobs, made=None)

    def with_weights(
        self,
        weights: Mapping[str, Array],
        *,
        options: Mapping[str, Any] | None = None,
        assets: Mapping[str, Any] | None = None,
    ) -> Model:
        """The same net and task with other tensors; unchanged tensors keep their blobs.

        Of an adapted model these stand in for the base and the adapter together.
        """
        memory = Memory()
        face = {
            "net": self.net, "options": dict(self.options if options is None else options),
            "weights": pack(weights, memory),
        }  # fmt: skip
        name = self.base_part if self.is_adapted else self.manifest["face"]
        parts = {**self._without(self.manifest["face"]), name: face}
        manifest = {**self.manifest, "face": name, "parts": parts}
        if assets is not None:
            manifest["assets"] = dict(assets)
        return replace(self, manifest=manifest, blobs=Chain((memory, self.blobs)), made=None)

    @property
    def num_params(self) -> int:
        """Floating-point numbers stored, buffers included."""
        return sum(prod(entry["shape"]) for part in self.manifest["parts"].values()
                   for entry in part["weights"].values() if "float" in entry["dtype"])  # fmt: skip

    @property
    def size_bytes(self) -> int:
        return sum(
            entry["size"] for part in self.manifest["parts"].values() for entry in part["weights"].values()
        )

    def torch(self) -> nn.Module:
        """A plain `nn.Module` in eval mode with a copy of the weights; changing it changes nothing here."""
        return find.load("lichen.engine.modules.backend:module_of")(self)

    def predict(self, inputs: Any) -> list[dict[str, Any]]:
        """Answers as a person reads them, through the one path that `evaluate` and `serve` use."""
        return find.load("lichen.engine.answer:predict")(self, inputs)

    def embed(self, inputs: Any) -> Any:
        """Inputs as vectors of length 1, numpy float32 (N, D): a product of two is their cosine."""
        return find.load("lichen.engine.embedding:embed")(self, inputs)

    def generate(
        self, prompts: Any, *, max_new_tokens: int = 100, temperature: float = 0.8, top_k: int | None = None,
        top_p: float | None = None, min_p: float | None = None, seed: int = 0, is_plain: bool = False,
    ) -> list[str]:  # fmt: skip
        """What a language model says after each prompt, a text or a list of them.

        A model that was taught conversations answers: a prompt is what a user says, or a list of messages,
        `{"role", "content"}`.

        Args:
            temperature: 0: always the likeliest token; above 1 unlikely ones come oftener.
            top_k: of so many likeliest tokens alone. top_p: of the fewest that have this share of the
                probability. min_p: of those that are this share as likely as the likeliest.
            is_plain: no template is used: a text is gone on from, also where the model would answer it.
        """
        said = find.load("lichen.engine.decode:generate")
        return said(self, prompts, max_new_tokens=max_new_tokens, temperature=temperature, top_k=top_k,
                    top_p=top_p, min_p=min_p, seed=seed, is_plain=is_plain)  # fmt: skip

    def translate(self, texts: Any, *, beam: int = 5, length_penalty: float = 0.6) -> list[str]:
        """What a model of pairs makes of each text, one or a list of them.

        Args:
            beam: texts that are tried side by side; 1: always the likeliest token.
            length_penalty: how much longer texts are favoured; 0: not at all.
        """
        told = find.load("lichen.engine.translate:translate")
        return told(self, texts, beam=beam, length_penalty=length_penalty)

    def facts(self) -> dict[str, str]:
        if self.net is None:
            return {"holds": ", ".join(self.assets)}
        facts = {
            "net": self.net,
            "parameters": count_text(self.num_params),
            "size": size_text(self.size_bytes),
        }
        if self.is_adapted:
            size_bytes = sum(entry["size"] for entry in self.face["weights"].values())
            facts["adapter"] = f"{self.face[ADAPTER].get('method', '')} of {size_text(size_bytes)}"
            facts["base"] = short(self.face["base"])
        return {**facts, "task": self.task} if self.task else facts
