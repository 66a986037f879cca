"""layers: a net's parameters in the order in which pictures pass them; rates and freezing follow it.

The top-level parts of a net are its layers. Where they are fewer than ENOUGH, the largest part that is a
sequence (or a net's `body`) is opened, again and again. A part of vectors only, such as a norm, belongs to
the one before.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

from torch import nn

from lichen.core.errors import OptionError, nearest

ENOUGH = 5
NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
FROZEN = "lichen_is_frozen"
"""The attribute of a norm without parameters that says whether it keeps its figures."""
SCOPES = ("none", "norms", "stem", "half", "body")
"""What `freeze` can name: nothing, norms, the first layer, the first half of the layers, all but the head."""


def layers(module: nn.Module) -> list[list[str]]:
    """Names of the parameters of each layer, first to last; the head is the last.

    What the head shares with a layer, as with the table of tokens, is the head's.
    """
    parts = [part for part in _parts(module) if part != "head"]
    while len(_joined(module, parts)) + 1 < ENOUGH and (widest := _widest(module, parts)) is not None:
        place = parts.index(widest)
        opened = [f"{widest}.{name}" for name in _parts(module.get_submodule(widest))]
        parts[place : place + 1] = opened
    named = list(module.named_parameters(remove_duplicate=False))
    last = {id(parameter) for name, parameter in named if name.startswith("head.")}
    head = [name for name, parameter in module.named_parameters() if id(parameter) in last]
    found = [[name for name in names if name not in head] for names in _joined(module, parts)]
    return [names for names in [*found, head] if names]


def scales(module: nn.Module, decay: float, parts: Mapping[str, float] | None = None) -> dict[str, float]:
    """The share of the rate per parameter: 1 in the last layer, `decay` times that in the one before.

    Args:
        parts: what it is multiplied by within a part, such as `{"layer1": 0.1}`; the innermost part counts.
    """
    found = layers(module)
    return {
        name: decay ** (len(found) - 1 - depth) * _factor(name, parts or {})
        for depth, names in enumerate(found)
        for name in names
    }


def _factor(name: str, parts: Mapping[str, float]) -> float:
    holders = [part for part in parts if name == part or name.startswith(f"{part}.")]
    return parts[max(holders, key=len)] if holders else 1.0


def check_parts(module: nn.Module, parts: Mapping[str, float]) -> None:
    """Refuses rates of parts that a net does not have.

    Raises:
        OptionError: there is no such part with parameters, or a rate is no number above 0.
    """
    names = [name for name, _ in module.named_parameters()]
    known = {name.rsplit(".", cut)[0] for name in names for cut in range(name.count(".") + 1)}
    for part, share in parts.items():
        if part not in known:
            raise OptionError(f"the net has no part `{part}` to give a rate", hint=nearest(part, known))
        if isinstance(share, bool) or not isinstance(share, int | float) or not share > 0:
            raise OptionError(f"the share of the rate of `{part}` must be a number above 0, not {share!r}",
                              hint="freeze= keeps a part as it is")  # fmt: skip


def freeze(module: nn.Module, scope: str) -> None:
    """Takes a part of a net out of training: no gradient, and its norms keep their figures.

    Raises:
        OptionError: no such scope.
    """
    if scope not in SCOPES:
        raise OptionError(f"unknown scope `{scope}` to freeze", hint=nearest(scope, SCOPES))
    found = layers(module)
    counts = {"none": 0, "norms": 0, "stem": 1, "half": len(found) // 2, "body": len(found) - 1}
    frozen = {name for names in found[: counts[scope]] for name in names}
    if scope == "norms":
        frozen = {name for name, _ in module.named_parameters() if _is_norm(module, name)}
    for name, parameter in module.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)
    _freeze_bare(module, frozen, all_norms=scope == "norms")


def _freeze_bare(module: nn.Module, frozen: Collection[str], *, all_norms: bool) -> None:
    """Marks norms without parameters: frozen as what stands before them is."""
    is_frozen = bool(frozen)
    for name, part in module.named_modules():
        own = [f"{name}.{leaf}".removeprefix(".") for leaf, _ in part.named_parameters(recurse=False)]
        if own:
            is_frozen = all(parameter in frozen for parameter in own)
        elif isinstance(part, NORMS):
            setattr(part, FROZEN, is_frozen or all_norms)


def thaw(module: nn.Module, trained: Iterable[nn.Parameter], share: float) -> None:
    """Lets the head and this share of the layers below it learn, the last first; the others wait.

    Args:
        trained: what may learn at all.
        share: from 0 (the head alone) to 1.
    """
    found, may = layers(module), {id(parameter) for parameter in trained}
    joined = 1 + math.floor((len(found) - 1) * min(1.0, share) + 1e-9)
    names = {name for names in found[len(found) - joined :] for name in names}
    for name, parameter in module.named_parameters():
        if id(parameter) in may:
            parameter.requires_grad_(name in names)


def still(module: nn.Module) -> None:
    """Has a net answer while it learns as it will in use: none of its parts drops anything."""
    for child in module.children():
        setattr(child, FROZEN, True)


def set_modes(module: nn.Module) -> None:
    """Train mode for what is trained; a part that is frozen as a whole answers as it will in use."""
    module.train()
    for child in module.children():
        parameters = list(child.parameters())
        is_kept = parameters and not any(parameter.requires_grad for parameter in parameters)
        if is_kept or getattr(child, FROZEN, False):
            child.eval()
        elif parameters:
            set_modes(child)


def _is_norm(module: nn.Module, name: str) -> bool:
    owner = module.get_submodule(name.rpartition(".")[0])
    return isinstance(owner, NORMS)


def _parts(module: nn.Module) -> list[str]:
    """The children and own parameters of a module, in order of registration."""
    return list(dict.fromkeys(name.partition(".")[0] for name, _ in module.named_parameters()))


def _joined(module: nn.Module, parts: list[str]) -> list[list[str]]:
    """Parameter names by layer: vectors and tables alone join the layer before, the first ones that after."""
    found: list[list[str]] = []
    is_open = False
    for part in parts:
        names, has_matrix = [], False
        for name, parameter in module.named_parameters():
            if name == part or name.startswith(f"{part}."):
                names.append(name)
                has_matrix |= parameter.ndim > 1 and name != part
        if found and (is_open or not has_matrix):
            found[-1] += names
            is_open = is_open and not has_matrix
        else:
            found.append(names)
            is_open = not has_matrix
    return found


def _widest(module: nn.Module, parts: list[str]) -> str | None:
    """The part with most numbers among those that can be opened."""
    named = dict(module.named_modules())
    sizes = {
        part: sum(parameter.numel() for parameter in named[part].parameters())
        for part in parts
        if part in named
        and next(named[part].children(), None) is not None
        and (part == "body" or isinstance(named[part], nn.Sequential | nn.ModuleList))
    }
    return max(sizes, key=lambda part: sizes[part]) if sizes else None
