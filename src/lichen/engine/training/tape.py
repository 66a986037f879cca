"""tape: the kernels of a training step, recorded once and played again without autograd and modules.

In a small net's step deciding what to compute next takes longer than computing it. TorchScript's interpreter
runs the recorded kernels on the same numbers in the same order, so the bits are the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
READS = {aten._local_scalar_dense.default, aten.equal.default, aten.nonzero.default}
"""What comes after these may depend on the numbers of a batch."""
ALIASES = {aten.detach.default}
TURNS = {aten.t.default}
VIEWS = {*TURNS, aten.view.default, aten.transpose.int, aten.permute.default, aten.expand.default}
SHAPED = {aten.ones_like.default, aten.zeros_like.default}
"""What only the shape of their input says."""
COPY = aten.copy_.default
NORM_BACK = aten.native_layer_norm_backward.default


@dataclass(slots=True)
class Call:
    """A kernel with what it took and gave; kept alive, so that tensors are told apart by identity."""

    func: Any
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    result: Any


class Recorder(TorchDispatchMode):
    """Takes down the kernels of whatever runs while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: to be skipped by the compiler, this class would import it."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.calls.append(Call(func, args, kwargs or {}, result))
        return result


@dataclass(slots=True)
class _Kernel:
    call: Call
    taken: list[int]
    given: list[int]
    is_kept: bool
    """Whether it does more than give a result: it writes somewhere, or draws random numbers."""


class Tape:
    """Kernels over numbered places, which hold the inputs, then weights, constants and results as they come.

    Args:
        calls: what a recorder took down.
        inputs: tensors that change from step to step. wanted: tensors that a step is to give.

    Raises:
        ValueError: these calls cannot be played again.
    """

    def __init__(self, calls: Sequence[Call], inputs: Sequence[Tensor], wanted: Sequence[Tensor]) -> None:
        self.forms = forms_of(inputs)
        self.values: list[Any] = list(inputs)
        self._places = {id(tensor): place for place, tensor in enumerate(inputs)}
        self._outside: set[int] = set()
        """Places of weights and constants: only their views are known beforehand."""
        self._fixed: set[int] = set()
        """Places of what never changes."""
        self._turned: dict[int, int] = {}
        kernels = self._written(calls, _copied(calls, wanted))
        self._wanted = [self._place(tensor) for tensor in wanted]
        self._kernels = _needed(kernels, self._wanted)
        # Weights are handed in: what is computed of constants alone TorchScript computes once and for all.
        taken = {place for kernel in self._kernels for place in kernel.taken}
        self._given = [*range(len(inputs)), *sorted(taken & self._outside)]
        self._weights = [self.values[place] for place in self._given[len(inputs) :]]
        self._traced = _traced(self._played, [*inputs, *self._weights])
        self.values.clear()

    def play(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """What was wanted, for other inputs of the same forms."""
        return self._traced(*inputs, *self._weights)

    def _played(self, *given: Tensor) -> tuple[Tensor, ...]:
        values = self.values
        for place, tensor in zip(self._given, given, strict=True):
            values[place] = tensor
        for kernel in self._kernels:
            call = kernel.call
            func = _scripted(call.args[-1][0]) if call.func is NORM_BACK else call.func
            result = func(*[values[place] for place in kernel.taken], **call.kwargs)
            for place, one in zip(kernel.given, (result,) if isinstance(result, Tensor) else result):
                values[place] = one
        return tuple(values[place] for place in self._wanted)

    def _written(self, calls: Sequence[Call], copied: set[int]) -> list[_Kernel]:
        found = []
        for call in calls:
            _require_playable(call)
            if call.func in ALIASES:
                self._places[id(call.result)] = self._place(call.args[0])
            elif id(call.result) in copied:
                if call.func is COPY:
                    self._places[id(call.result)] = self._place(call.args[1])
            elif (kernel := self._kernel(call)) is not None:
                found.append(kernel)
        return found

    def _kernel(self, call: Call) -> _Kernel | None:
        """None: the result is known already."""
        taken = [self._place(argument) for argument in call.args]
        is_written = call.func._schema.is_mutable
        is_drawn = torch.Tag.nondeterministic_seeded in call.func.tags
        if is_written and taken[0] in self._outside | self._fixed:
            raise ValueError(f"{call.func} changes what the step did not make")
        if call.func in TURNS and taken[0] in self._turned:
            self._places[id(call.result)] = self._turned[taken[0]]
            return None
        if not (is_written or is_drawn) and self._is_known(call.func, taken):
            self._know(call, is_fixed=call.func in SHAPED or set(taken) <= self._fixed)
            return None
        results = [call.result] if isinstance(call.result, Tensor) else list(call.result)
        given = [self._new(tensor) for tensor in results]
        self._places.update({id(tensor): place for tensor, place in zip(results, given)})
        if call.func in TURNS:
            self._turned[given[0]] = taken[0]
        return _Kernel(call, taken, given, is_written or is_drawn)

    def _is_known(self, func: Any, taken: Sequence[int]) -> bool:
        if func in SHAPED or set(taken) <= self._fixed:
            return True
        return func in VIEWS and set(taken) <= self._fixed | self._outside

    def _know(self, call: Call, *, is_fixed: bool) -> None:
        place = self._places[id(call.result)] = self._new(call.result)
        (self._fixed if is_fixed else self._outside).add(place)

    def _place(self, value: Any) -> int:
        """The place of a tensor by identity; what comes from outside the step gets one of its own."""
        if isinstance(value, Tensor) and id(value) in self._places:
            return self._places[id(value)]
        place = self._new(value)
        if isinstance(value, Tensor):
            self._places[id(value)] = place
        (self._outside if isinstance(value, Tensor) else self._fixed).add(place)
        return place

    def _new(self, value: Any) -> int:
        """Weights stand here as views without gradient: a step that changes them changes these."""
        self.values.append(value.detach() if isinstance(value, Tensor) else value)
        return len(self.values) - 1


def _traced(played: Callable[..., tuple[Tensor, ...]], inputs: Sequence[Tensor]) -> Callable[..., Any]:
    """The same in TorchScript: a third of the time of Python.

    Nothing has replaced it: torch.compile takes seconds, and makes kernels of its own.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
        try:
            return torch.jit.trace(played, tuple(inputs), check_trace=False)
        except RuntimeError as error:
            raise ValueError(f"these kernels cannot be traced: {error}") from None


@lru_cache
def _scripted(is_first_wanted: bool) -> Callable[..., Any]:
    """The backward of layer norm, whose list of wanted results tracing does not take and scripts do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(_norm_back_whole if is_first_wanted else _norm_back_own)


def _norm_back_whole(
    gradient: Tensor, x: Tensor, shape: list[int], mean: Tensor, scale: Tensor, gain: Tensor, shift: Tensor,
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    return torch.ops.aten.native_layer_norm_backward(
        gradient, x, shape, mean, scale, gain, shift, [True, True, True]
    )


def _norm_back_own(
    gradient: Tensor, x: Tensor, shape: list[int], mean: Tensor, scale: Tensor, gain: Tensor, shift: Tensor,
    wanted: list[bool],
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    return torch.ops.aten.native_layer_norm_backward(
        gradient, x, shape, mean, scale, gain, shift, [False, True, True]
    )


def forms_of(inputs: Sequence[Tensor]) -> list[tuple[torch.Size, torch.dtype]]:
    return [(tensor.shape, tensor.dtype) for tensor in inputs]


def _require_playable(call: Call) -> None:
    """Refuses kernels that read numbers out, take lists of tensors, or tensors by keyword, or half a norm."""
    is_partial = call.func is NORM_BACK and list(call.args[-1][1:]) != [True, True]
    listed = [part for argument in call.args if isinstance(argument, list | tuple) for part in argument]
    if call.func in READS or is_partial or not call.args or any(
        isinstance(part, Tensor) for part in [*listed, *call.kwargs.values()]
    ):  # fmt: skip
        raise ValueError(f"{call.func} cannot be played again")


def _copied(calls: Sequence[Call], wanted: Sequence[Tensor]) -> set[int]:
    """Wanted tensors that are but copies, in the same layout, of what a kernel gave.

    Autograd copies a gradient that somebody else holds too, as the recorder does.
    """
    results, ends = {id(call.result) for call in calls}, {id(tensor) for tensor in wanted}
    return {
        id(call.result) for call in calls
        if call.func is COPY and id(call.result) in ends and id(call.args[1]) in results
        and call.args[1].stride() == call.result.stride() and call.args[1].dtype == call.result.dtype
    }  # fmt: skip


def _needed(kernels: Sequence[_Kernel], wanted: Sequence[int]) -> list[_Kernel]:
    """Without those whose results nobody takes."""
    needed, found = set(wanted), []
    for kernel in reversed(kernels):
        if kernel.is_kept or needed & set(kernel.given):
            needed |= set(kernel.taken)
            found.append(kernel)
    return found[::-1]
