"""architecture: builds a net from its address, and narrows it to the tensors it is to hold."""

from __future__ import annotations

import inspect
import re
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import Parameter

from lichen.core import find
from lichen.core.array import Array
from lichen.core.errors import OptionError, UnsafeInputError, UsageError, nearest

BUILDERS = ("torchvision.models.",)
"""Packages whose functions may be named as nets; timm's are `timm/name`."""
FIXED = re.compile(r"tuple\[(int(?:, int)*)\]")
ROWS = {1: "rows of numbers", 2: "texts or codes", 3: "pictures"}
"""What rows are, by the length of their shape."""
ORIGIN = "lichen_origin"
"""The attribute of a built module that says its address and options."""


def build(net: str, options: Mapping[str, Any], in_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
    """A freshly initialised net.

    Args:
        net: a file of `nets/`, one of its variants, `file/variant`, or a user's `module:name`.
        options: what its builder takes beside the shapes.

    Raises:
        NotFoundError: no such net.
        OptionError: the builder has no such option.
        UsageError: its builder says that it takes rows of another kind.
    """
    builder, fixed = builder_of(net)
    shapes = {"in_shape": tuple(in_shape), "num_outputs": num_outputs}
    known = inspect.signature(builder).parameters
    for name in options:
        if name not in known or name in shapes:
            raise OptionError(
                f"unknown option `{name}` of net `{net}`", hint=nearest(name, known.keys() - shapes)
            )
    _require_shape(net, known.get("in_shape"), in_shape)
    module = builder(**{key: value for key, value in shapes.items() if key in known}, **{**fixed, **options})
    if not isinstance(module, nn.Module):
        raise UsageError(f"net `{net}` must return a torch module, not {type(module).__name__}")
    setattr(module, ORIGIN, (net, {**shapes, "in_shape": list(in_shape), **options}))
    return module


def _require_shape(net: str, parameter: inspect.Parameter | None, in_shape: tuple[int, ...]) -> None:
    """Compares a builder's annotation, such as tuple[int, int, int] of pictures, with what a row is."""
    told = FIXED.fullmatch(str(parameter.annotation)) if parameter else None
    wanted = told[1].count("int") if told else len(in_shape)
    if wanted != len(in_shape):
        kinds = (ROWS.get(size, f"rows of {size} sides") for size in (wanted, len(in_shape)))
        raise UsageError("net `{}` takes {}; these are {}".format(net, *kinds), hint="mlp takes any rows")


def builder_of(net: str) -> tuple[Callable[..., nn.Module], dict[str, Any]]:
    """The function behind a net's address and the options that its variant fixes."""
    if ":" in net:
        return _users_own(net), {}
    module = find.net_module(net)
    builder = find.load(f"{module}:build")
    file, _, variant = net.partition("/")
    path = find.source_of(module)
    fixed = find.variants(path) if path else {}
    if (variant or file) in fixed:
        return builder, dict(fixed[variant or file])
    return builder, {"variant": variant} if variant else {}


def _users_own(net: str) -> Callable[..., nn.Module]:
    """The builder at `module:name`, which may stand in a file from anywhere, so not everything is called.

    Raises:
        UnsafeInputError: it is Python's own, or an installed package's that builds no module: `os:system`.
    """
    top = net.partition(":")[0].partition(".")[0]
    if top in sys.stdlib_module_names and top != "__main__":
        raise UnsafeInputError(
            f"net `{net}` is a part of Python, not a net", hint="module:name of a torch module"
        )
    target = find.load(net)
    target = getattr(target, "fn", target)
    is_module = isinstance(target, type) and issubclass(target, nn.Module)
    if not is_module and (
        not inspect.isfunction(target) or (_is_installed(target) and not _is_trusted(target))
    ):
        raise UnsafeInputError(
            f"net `{net}` must be a class of torch modules, or a function of yours that returns one",
            hint="write a function of your own around that of a package",
        )
    return target


def _is_installed(target: Any) -> bool:
    """Whether code comes from a package, or from nowhere: then the user did not write it."""
    path = find.file_of(target.__module__)
    return target.__module__ != "__main__" and (
        path is None
        or target.__module__.startswith("lichen.")
        or bool({"site-packages", "dist-packages"} & set(path.parts))
    )


def _is_trusted(target: Callable[..., Any]) -> bool:
    """A function that says it returns a module, of a package whose builders read no file."""
    said = typing.get_type_hints(target).get("return") if target.__module__.startswith(BUILDERS) else None
    return isinstance(said, type) and issubclass(said, nn.Module)


def expected(net: str) -> dict[str, Any]:
    """What a net's pretrained weights were trained with: `mean`, `std`, `image_size`; often nothing."""
    if ":" in net:
        return {}
    says = getattr(find.load(find.net_module(net)), "expected", None)
    return says(net.partition("/")[2]) if says else {}


def shape_to(module: nn.Module, arrays: Mapping[str, Array]) -> nn.Module:
    """Narrows linear, convolution and norm layers in place to the shapes of stored tensors.

    A pruned net is the same net with narrower tensors; its widths are nowhere else.

    Raises:
        UsageError: a tensor is missing, left over, or has a shape that its layer cannot take.
    """
    for name, layer in module.named_modules():
        weight = arrays.get(f"{name}.weight" if name else "weight")
        own = getattr(layer, "weight", None)
        if weight is not None and isinstance(own, Parameter) and tuple(own.shape) != weight.shape:
            _narrow(name, layer, weight.shape)
        _fill(name, layer, arrays)
    _check(module, arrays)
    return module


def _narrow(name: str, layer: nn.Module, shape: tuple[int, ...]) -> None:
    if isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = shape
    elif isinstance(layer, _ConvNd) and not layer.transposed:
        if layer.groups == layer.in_channels == layer.out_channels:
            layer.groups = shape[0]
        layer.out_channels, layer.in_channels = shape[0], shape[1] * layer.groups
    elif isinstance(layer, _BatchNorm):
        layer.num_features = shape[0]
        for buffer in ("running_mean", "running_var"):
            if getattr(layer, buffer) is not None:
                setattr(layer, buffer, getattr(layer, buffer).new_zeros(shape))
    elif isinstance(layer, nn.LayerNorm) and len(shape) == 1:
        layer.normalized_shape = shape
    else:
        raise UsageError(f"layer `{name}` ({type(layer).__name__}) cannot take a weight of shape {shape}")
    layer.weight = Parameter(layer.weight.new_empty(shape), layer.weight.requires_grad)
    if layer.bias is not None:
        layer.bias = Parameter(layer.bias.new_empty(shape[0]), layer.bias.requires_grad)


def _fill(name: str, layer: nn.Module, arrays: Mapping[str, Array]) -> None:
    """Makes room for buffers that a layer declares empty and only pruning writes."""
    for key, buffer in layer._buffers.items():
        stored = arrays.get(f"{name}.{key}" if name else key)
        if buffer is None and stored is not None:
            setattr(layer, key, torch.zeros(stored.shape, dtype=getattr(torch, stored.dtype)))


def _check(module: nn.Module, arrays: Mapping[str, Array]) -> None:
    own = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    for name in own.keys() ^ arrays.keys():
        side = "lacks" if name in own else "has no place for"
        place = "the stored weights" if name in own else "the net"
        word = "lack" if name in own else side
        raise UsageError(
            f"{place} {word} the tensor `{name}`",
            hint="the net's code or options are not those it was made with",
        )
    for name, shape in own.items():
        if shape != arrays[name].shape:
            raise UsageError(f"tensor `{name}` has the shape {arrays[name].shape}; the net takes {shape}")
