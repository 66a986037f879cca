"""layers: a net's parameters in the order in which pictures pass them; rates and freezing follow it.

The top-level parts of a net are its layers. Where they are fewer than ENOUGH, the largest part that is a
sequence (or a net's `body`) is opened, again and again. A part of vectors only, such as a norm, belongs to
the one before.
"""

from __future__ import annotations

from torch import nn

from lichen.core.errors import OptionError, nearest

ENOUGH = 5
SCOPES = ("none", "norms", "stem", "half", "body")
"""What `freeze` can name: nothing, norms, the first layer, the first half of the layers, all but the head."""


def layers(module: nn.Module) -> list[list[str]]:
    """Names of the parameters of each layer, first to last; the head is the last."""
    parts = [part for part in _parts(module) if part != "head"]
    while len(_joined(module, parts)) + 1 < ENOUGH and (widest := _widest(module, parts)) is not None:
        place = parts.index(widest)
        opened = [f"{widest}.{name}" for name in _parts(module.get_submodule(widest))]
        parts[place : place + 1] = opened
    found = _joined(module, parts)
    head = [name for name, _ in module.named_parameters() if name.startswith("head.")]
    return [*found, head] if head else found


def scales(module: nn.Module, decay: float) -> dict[str, float]:
    """The share of the rate per parameter: 1 in the last layer, `decay` times that in the one before."""
    found = layers(module)
    return {name: decay ** (len(found) - 1 - depth) for depth, names in enumerate(found) for name in names}


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


def set_modes(module: nn.Module) -> None:
    """Train mode for what is trained; a part that is frozen as a whole answers as it will in use."""
    module.train()
    for child in module.children():
        parameters = list(child.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            child.eval()
        elif parameters:
            set_modes(child)


def _is_norm(module: nn.Module, name: str) -> bool:
    owner = module.get_submodule(name.rpartition(".")[0])
    return isinstance(owner, nn.modules.batchnorm._BatchNorm | nn.LayerNorm | nn.GroupNorm)


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
