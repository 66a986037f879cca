"""convolution: small-picture convolutions as matrix products.

Deep in a net pictures are a few pixels wide and channels are many. There the CPU's convolution kernels lose
to the plain matrix product: with 512 channels of 4x4 pixels and bfloat16, forward and backward take half
the time.

Shapes: B rows, C channels in, O channels out, H W picture, P Q picture out, K side of the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional

POSITIONS = 16
"""Up to this many pixels per picture; with more, copying each K K times costs more than the product saves."""
CHANNELS = 256 * 512
"""Channels in times channels out from which the product wins, measured with and without bfloat16 tiles."""


@contextmanager
def as_products(module: nn.Module) -> Iterator[None]:
    """Has the convolutions of a net that can compute small pictures as products while it lasts."""
    layers = [layer for layer in module.modules() if is_suitable(layer)]
    try:
        for layer in layers:
            layer.forward = partial(_forward, layer)  # type: ignore[method-assign]
        yield
    finally:
        for layer in layers:
            del layer.forward


def is_suitable(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether it is a plain convolution of many channels with a square kernel wider than a pixel."""
    return (
        type(layer) is nn.Conv2d
        and layer.kernel_size[0] == layer.kernel_size[1] > 1
        and layer.stride[0] == layer.stride[1]
        and layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.in_channels * layer.out_channels >= CHANNELS
        and layer.padding_mode == "zeros"
        and isinstance(layer.padding, tuple)
        and layer.padding[0] == layer.padding[1]
        and "forward" not in vars(layer)
    )


def _forward(layer: nn.Conv2d, x_BCHW: Tensor) -> Tensor:
    stride, padding = layer.stride[0], int(layer.padding[0])
    num_rows, num_columns = (_out(side, layer.kernel_size[0], stride, padding) for side in x_BCHW.shape[2:])
    if num_rows * num_columns > POSITIONS:
        return layer._conv_forward(x_BCHW, layer.weight, layer.bias)
    kind = x_BCHW.dtype
    if torch.is_autocast_enabled(x_BCHW.device.type):
        kind = torch.get_autocast_dtype(x_BCHW.device.type)
    y_BOPQ = _Product.apply(x_BCHW.to(kind), layer.weight.to(kind), stride, padding)
    return y_BOPQ if layer.bias is None else y_BOPQ + layer.bias.to(kind)[:, None, None]


def _out(side: int, kernel: int, stride: int, padding: int) -> int:
    return (side + 2 * padding - kernel) // stride + 1


class _Product(torch.autograd.Function):
    """Convolution as the product of patches (B P Q, K K C) and weights (O, K K C)."""

    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, weight_OCKK: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x_BCHW, weight_OCKK)
        ctx.stride, ctx.padding = stride, padding
        patches = _patches(x_BCHW, weight_OCKK.shape[-1], stride, padding)
        out = patches.flatten(0, 2).flatten(1) @ _rows(weight_OCKK).t()
        return out.unflatten(0, patches.shape[:3]).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient_BOPQ: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x_BCHW, weight_OCKK = ctx.saved_tensors
        gradient = gradient_BOPQ.permute(0, 2, 3, 1).flatten(0, 2)
        for_x, for_weight = None, None
        if ctx.needs_input_grad[1]:
            patches = (
                _patches(x_BCHW, weight_OCKK.shape[-1], ctx.stride, ctx.padding).flatten(0, 2).flatten(1)
            )
            channels, side = weight_OCKK.shape[1], weight_OCKK.shape[-1]
            # Transposed in memory: the product is half as fast over a view.
            for_weight = (
                (gradient.t().contiguous() @ patches).unflatten(1, (side, side, channels)).permute(0, 3, 1, 2)
            )
        if ctx.needs_input_grad[0]:
            for_x = _spread(gradient @ _rows(weight_OCKK), x_BCHW, weight_OCKK, ctx.stride, ctx.padding)
        return for_x, for_weight, None, None


def _rows(weight_OCKK: Tensor) -> Tensor:
    """(O, K K C); no copy where weights are channels-last."""
    return weight_OCKK.permute(0, 2, 3, 1).flatten(1)


def _patches(x_BCHW: Tensor, side: int, stride: int, padding: int) -> Tensor:
    """(B, P, Q, K, K, C): the pixels under the kernel at each position."""
    padded = functional.pad(x_BCHW.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))
    return padded.unfold(1, side, stride).unfold(2, side, stride).permute(0, 1, 2, 4, 5, 3)


def _spread(patches: Tensor, x_BCHW: Tensor, weight_OCKK: Tensor, stride: int, padding: int) -> Tensor:
    """The sum of patches where they came from, in float32 and in a fixed order."""
    batch, channels, height, width = x_BCHW.shape
    side = weight_OCKK.shape[-1]
    num_rows, num_columns = (_out(extent, side, stride, padding) for extent in (height, width))
    held = patches.view(batch, num_rows, num_columns, side, side, channels)
    total = patches.new_zeros(
        batch,
        height + 2 * padding,
        width + 2 * padding,
        channels,
        dtype=torch.promote_types(patches.dtype, torch.float32),
    )
    for row in range(side):
        for column in range(side):
            total[
                :, row : row + stride * num_rows : stride, column : column + stride * num_columns : stride
            ] += held[:, :, :, row, column]
    inner = total[:, padding : padding + height, padding : padding + width]
    return inner.to(patches.dtype).contiguous().permute(0, 3, 1, 2)
