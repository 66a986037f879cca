"""adapters: a few new numbers per layer that learn in place of its weights; peft puts them in.

What is adapted is a function of a net's layers, whatever the net is for: linear layers and convolutions whose
arithmetic is torch's own, all but the head. A new head learns as it is; a head that tells tokens stays. A
prompt is no layer's: vectors of its own, which a net that tells tokens reads before a text.
Papers: Hu et al. 2021 (LoRA); Kalajdzievski 2023 (rsLoRA); Liu et al. 2024 (DoRA); Liu et al. 2022 (IA3);
Lester et al. 2021 (prompt).
"""

from __future__ import annotations

import logging
import re
import types
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from lichen.core.array import Array
from lichen.core.errors import OptionError, UsageError, missing_package, nearest
from lichen.core.model import Model
from lichen.engine.modules import backend
from lichen.engine.training import merging

NAME = "default"
"""What peft calls an adapter where nobody says."""
KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
HELD = {"lora_A": "lora_A", "lora_B": "lora_B", "magnitude": "lora_magnitude_vector", "scale": "ia3_l"}
"""Where a layer of peft holds what we keep as `layer.<kind>`."""


def targets(module: nn.Module, method: str, wanted: Sequence[str] | None = None) -> list[str]:
    """The layers of a net that a method adapts, in order.

    Args:
        wanted: only layers whose names are these or end in them, such as `qkv`; None: all.

    Raises:
        UsageError: the net has none. OptionError: none is called so.
    """
    hidden = {id(part) for layer in module.modules() if isinstance(layer, nn.MultiheadAttention)
              for part in layer.modules()}  # fmt: skip
    found = [
        name for name, layer in module.named_modules()
        if name and name.partition(".")[0] != "head" and id(layer) not in hidden and _takes(layer, method)
    ]  # fmt: skip
    if not found:
        raise UsageError(f"{type(module).__name__} has no layer but its head that {method} can adapt")
    if wanted is None:
        return found
    ends = {name.rpartition(".")[2] for name in found}
    known = [*found, *(end for end in ends if not end.isdigit())]
    for ending in wanted or [""]:
        if not any(_is_called(name, ending) for name in found):
            raise OptionError(
                f"no layer that {method} adapts is called `{ending}`", hint=nearest(ending, known)
            )
    return [name for name in found if any(_is_called(name, ending) for ending in wanted)]


def _is_called(name: str, ending: str) -> bool:
    return name == ending or name.endswith(f".{ending}")


def _takes(layer: nn.Module, method: str) -> bool:
    """Whether what a layer computes is linear in a weight that nobody else reads."""
    kind = next((kind for kind in KINDS if isinstance(layer, kind)), None)
    # A layer that changes its weight or input on the way, as a standardised convolution does, would answer
    # otherwise with the adapter merged.
    if kind is None or type(layer).forward is not kind.forward:
        return False
    if isinstance(layer, nn.Linear) or method == "ia3":
        return True
    assert isinstance(layer, _ConvNd)
    # peft's own convolutions for the small matrices take neither groups, dilation nor padding of other kinds.
    return layer.groups == 1 and set(layer.dilation) == {1} and layer.padding_mode == "zeros"


def put_in(module: nn.Module, adapter: Mapping[str, Any], *, dropout: float = 0.0, seed: int = 0) -> None:
    """Puts a fresh adapter into the layers of a net, which answers as before; only it is left to learn.

    Args:
        adapter: `method`, `rank`, `alpha` and the names of the `layers`.
        dropout: of what goes into the adapter while it learns.
    """
    with quietly(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        peft = library()
        names = "|".join(map(re.escape, adapter["layers"]))  # whole names: of a list peft takes endings
        peft.inject_adapter_in_model(config(peft, adapter, dropout, targets=names), module)
    for layer in module.modules():
        if "DoraConv" in type(layer).__name__:
            layer.get_lora_weight = types.MethodType(_product, layer)  # type: ignore[assignment]


def open_head(module: nn.Module) -> None:
    """Lets the head learn beside the adapter, as a new one must."""
    for name, parameter in module.named_parameters():
        if name.startswith("head."):
            parameter.requires_grad_(True)


@torch.no_grad()
def put_before(module: nn.Module, num_virtual: int, *, seed: int = 0) -> None:
    """Puts a fresh prompt into a net that tells tokens; only it is left to learn.

    It begins as the vectors of tokens drawn at random (section 3.2 of the paper).

    Raises:
        UsageError: the net takes no prompt.
    """
    tokens = getattr(module, "tokens", None)
    if not hasattr(module, "virtual") or not isinstance(tokens, nn.Embedding):
        raise UsageError(f"{type(module).__name__} takes no learnt prompt", hint="method='lora'")
    if module.virtual is not None:
        raise UsageError("the net has a learnt prompt already", hint="method='lora'")
    drawn = torch.randint(
        tokens.num_embeddings, (num_virtual,), generator=torch.Generator().manual_seed(seed)
    )
    module.requires_grad_(False)
    module.virtual = nn.Embedding.from_pretrained(tokens.weight[drawn].clone(), freeze=False)


def config(peft: Any, adapter: Mapping[str, Any], dropout: float, *, targets: str | list[str]) -> Any:
    """What peft is told of an adapter of layers.

    Args:
        targets: names of layers or how they end, or an expression that whole names match.
    """
    if adapter["method"] == "ia3":
        return peft.IA3Config(target_modules=targets, feedforward_modules=[])
    return peft.LoraConfig(
        r=adapter["rank"], lora_alpha=adapter["alpha"], lora_dropout=dropout, target_modules=targets,
        use_rslora=adapter["method"] == "rslora", use_dora=adapter["method"] == "dora",
    )  # fmt: skip


def _product(layer: nn.Module, lora_A: nn.Module, lora_B: nn.Module, adapter_name: str = NAME) -> Tensor:
    """B A as peft's own method has it, also where the kernels are stored channels last."""
    return lora_B.weight.flatten(1) @ lora_A.weight.flatten(1)  # type: ignore[operator]


def beside(model: Model) -> nn.Module:
    """The net of an adapted model with the adapter still beside its base, not merged."""
    own, adapter = model.weights(model.manifest["face"]), model.face["adapter"]
    alone = {f"{layer}.{kind}" for layer in adapter["layers"] for kind in merging.kinds_of(adapter)}
    others = {name: array for name, array in own.items() if name not in alone}
    module = model.with_weights({**model.weights(model.base_part), **others}).torch()
    if not alone:
        return module
    put_in(module, adapter)
    with torch.no_grad():
        for name in adapter["layers"]:
            for kind, tensor in held(module.get_submodule(name)).items():
                tensor.copy_(backend.tensor_of(own[f"{name}.{kind}"]))
    return module.eval()


def merge_in(module: nn.Module, model: Model) -> None:
    """Makes a net with an adapter beside its layers the plain one that its model merges to."""
    arrays = model.weights()
    for name in model.face["adapter"]["layers"]:
        parent, _, leaf = name.rpartition(".")
        plain = module.get_submodule(f"{name}.base_layer")
        setattr(module.get_submodule(parent), leaf, plain)
        for own, parameter in plain.named_parameters():
            parameter.data = backend.tensor_of(arrays[f"{name}.{own}"])


def base_of(model: Model) -> Model:
    """The base of an adapted model by itself, which begins with no learnt prompt."""
    base = model.base()
    if "num_virtual" in base.options:
        return base
    assets = {name: held for name, held in base.assets.items() if name != "num_virtual_tokens"}
    return replace(base, manifest={**base.manifest, "assets": assets})


def taken_out(module: nn.Module, adapter: Mapping[str, Any]) -> dict[str, Array]:
    """The tensors of the adapter in a net, and others that learnt, such as the head's."""
    found = {
        f"{name}.{kind}": tensor
        for name in adapter["layers"]
        for kind, tensor in held(module.get_submodule(name)).items()
    }
    others = {
        name: parameter
        for name, parameter in module.named_parameters()
        if parameter.requires_grad and name.startswith(("head.", "virtual."))
    }
    return {name: backend.array_of(tensor) for name, tensor in {**found, **others}.items()}


def held(layer: nn.Module) -> dict[str, Tensor]:
    """The adapter's tensors in a layer of peft, under our names."""
    found = {}
    for kind, place in HELD.items():
        held = getattr(layer, place, {})
        if NAME in held:
            found[kind] = held[NAME].weight if isinstance(held[NAME], nn.Module) else held[NAME]
    return found


def require_untouched(module: nn.Module, base: Mapping[str, Array]) -> None:
    """Checks that a net under an adapter holds its base bit by bit, but for what learns.

    Raises:
        UsageError: something of it moved while the adapter learnt, so that it would not fit its base.
    """
    own = {name.replace(".base_layer.", "."): tensor for name, tensor in module.state_dict().items()}
    learning = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    for name, array in base.items():
        if name not in learning and not torch.equal(own[name].cpu(), backend.tensor_of(array)):
            raise UsageError(
                f"a base must stay as it is while an adapter learns; the net changed `{name}` by itself",
                hint="a norm that follows its inputs needs parameters to be frozen by: affine=True",
            )


def library() -> Any:
    try:
        import peft
    except ImportError:
        raise missing_package("peft", "adapters") from None
    return peft


@contextmanager
def quietly() -> Iterator[None]:
    """The library and what it imports speak of themselves."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
