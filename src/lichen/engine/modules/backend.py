"""backend: torch modules out of Models and back."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lichen.core.array import Array
from lichen.core.errors import LichenError, UsageError
from lichen.core.model import Model
from lichen.engine.modules import architecture, heads


def module_of(model: Model) -> nn.Module:
    """A plain module in eval mode with a copy of the model's weights.

    Raises:
        NotFoundError: the net's code is not there.
        UsageError: the weights do not fit it.
    """
    if model.net is None:
        raise UsageError(f"this model has no net, only {', '.join(model.assets) or 'a name'}",
                         hint="a tokenizer is given to a step: pretrain.train(data, tokenizer)")  # fmt: skip
    arrays = model.weights()
    with torch.random.fork_rng(devices=[]):
        module = _built(model)
    architecture.shape_to(module, arrays)
    module.load_state_dict({name: view_of(array) for name, array in arrays.items()}, strict=True)
    return module.eval()


def _built(model: Model) -> nn.Module:
    """The net of a model; options that it cannot be built with are the file's fault, not the program's."""
    try:
        return build(str(model.net), model.options)
    except (TypeError, ValueError, RuntimeError, AttributeError, LookupError, ArithmeticError, AssertionError,
            MemoryError) as error:  # fmt: skip
        said = str(error).partition("\n")[0]
        raise UsageError(f"net `{model.net}` cannot be built with the model's options: {said}") from error


def build(net: str, options: Mapping[str, Any]) -> nn.Module:
    """A fresh net from the options that a Model keeps, shapes among them."""
    given = ("in_shape", "num_outputs", heads.OPTION)
    own = {name: value for name, value in options.items() if name not in given}
    num_outputs = options.get("num_outputs", 0)
    module = architecture.build(net, own, tuple(options.get("in_shape", ())), num_outputs)
    if heads.OPTION in options:
        heads.replace(module, options[heads.OPTION], num_outputs)
    return module


def arrays_of(module: nn.Module) -> dict[str, Array]:
    """Every parameter and persistent buffer, copied to the CPU in C order."""
    return {name: array_of(tensor) for name, tensor in module.state_dict().items()}


def array_of(tensor: Tensor) -> Array:
    whole = torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach())
    data = whole.reshape(-1).view(torch.uint8).numpy().data if whole.numel() else memoryview(b"")
    return Array(dtype=str(tensor.dtype).removeprefix("torch."), shape=tuple(tensor.shape), data=data)


def tensor_of(array: Array) -> Tensor:
    """A copy as a CPU tensor."""
    tensor = torch.from_numpy(np.array(array.numpy()))
    return tensor.view(torch.bfloat16) if array.dtype == "bfloat16" else tensor


def view_of(array: Array) -> Tensor:
    """The numbers where they lie, to be read and never written."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        tensor = torch.from_numpy(array.numpy())
    return tensor.view(torch.bfloat16) if array.dtype == "bfloat16" else tensor


def wrap(
    module: nn.Module,
    *,
    task: str | None = None,
    assets: Mapping[str, Any] | None = None,
    net: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Model:
    """A Model of a plain torch module.

    Args:
        net: the address of a function or class that builds it, `module:name`; its class when not given.
        options: what the builder is called with; JSON.

    Raises:
        UsageError: nothing importable rebuilds this module, or what does makes another one.
    """
    made = getattr(module, architecture.ORIGIN, None)
    if net is None and made is not None:
        net, options = made[0], {**made[1], **(options or {})}
    kind = type(module)
    net = net or f"{kind.__module__}:{kind.__qualname__}"
    model = Model.build(net=net, options=options or {}, weights=arrays_of(module), task=task, assets=assets)
    try:
        again = module_of(model)
    except (LichenError, TypeError, AttributeError) as error:
        raise UsageError(
            f"`{net}` does not rebuild this module: {error}",
            hint="define it in an importable file and pass net='module:builder', options={...}",
        ) from None
    if differs := _difference(module, again, _row_shape(model) if made is None else None):
        raise UsageError(f"`{net}` with options={dict(options or {})} must rebuild this module; {differs}",
                         hint="pass options={...}, those that it was built with")  # fmt: skip
    return model


def _row_shape(model: Model) -> list[int] | None:
    """Of what the net takes, where its assets or options say it and it takes numbers."""
    if "tokenizer" in model.assets or "num_codes" in model.assets:
        return None
    said = (
        model.assets.get("observation_shape"),
        model.assets.get("image_shape"),
        model.options.get("in_shape"),
    )
    return next((list(shape) for shape in said if shape), None)


def _difference(module: nn.Module, again: nn.Module, shape: list[int] | None) -> str | None:
    """What tells a module from the one rebuilt of its options: a part, or an answer; None: nothing does."""
    own, built = (
        {name: f"{type(part).__qualname__}({part.extra_repr()})" for name, part in net.named_modules()}
        for net in (module, again)
    )
    for name, told in own.items():
        if built.get(name) != told:
            return f"part `{name}` is {told}, not {built.get(name, 'there')}"
    if extra := next((name for name in built if name not in own), None):
        return f"it has no part `{extra}`"
    answers = [_answer(net, shape) for net in (module, again)] if shape else []
    if answers and all(isinstance(answer, Tensor) for answer in answers):
        one, other = answers
        if one.shape != other.shape or not torch.allclose(one, other, rtol=1e-3, atol=1e-3, equal_nan=True):
            return "it answers otherwise, so something differs that is no part, such as a function it keeps"
    return None


def _answer(net: nn.Module, shape: Sequence[int]) -> Any:
    """What a net on the CPU says of one row of noise, in eval mode; None: it takes no such row."""
    modes = {part: part.training for part in net.modules()}
    weight = next(net.parameters(), torch.zeros(()))
    if weight.device.type != "cpu" or not weight.is_floating_point():
        return None
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            return net.eval()(torch.randn(1, *shape, dtype=weight.dtype))
    except (
        TypeError,
        ValueError,
        RuntimeError,
        AttributeError,
        LookupError,
        ArithmeticError,
        AssertionError,
    ):
        return None
    finally:
        for part, is_training in modes.items():
            part.training = is_training
