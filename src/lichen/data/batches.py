"""batches: rows in the order of an epoch, augmented row by row; a function of (seed, epoch) and nothing else.

What fits in memory is one tensor on the device; what does not is decoded two batches ahead. Both give the
same batches, and an epoch entered in the middle gives exactly the rest of it.

Shapes: N rows of the split, B rows of a batch on this rank, C channels, H height, W width, D draws per row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from lichen.core.errors import DataError
from lichen.data import augment, balance, draws, mix

AHEAD = 2
POOL = 32
"""Batches whose rows are sorted by length among each other: enough that a batch holds rows of nearly one
length, few enough that what meets in a batch stays a matter of chance."""


class Batch(NamedTuple):
    """images (B, C, H, W), targets (B,), ids (B,), and what each row counts in the loss (B,); None: alike."""

    images: Tensor
    targets: Tensor
    ids: Tensor
    weights: Tensor | None = None


class Source(Protocol):
    """A split as arrays of one shape per row, at a size where rows have one."""

    @property
    def split(self) -> str: ...

    @property
    def targets(self) -> np.ndarray: ...

    @property
    def ids(self) -> np.ndarray: ...

    @property
    def num_rows(self) -> int: ...

    @property
    def is_uniform(self) -> bool: ...

    def fits(self, size: int | None = None) -> bool: ...

    def whole(self, size: int | None = None) -> np.ndarray: ...

    def batch(self, indices: Any, size: int | None = None) -> np.ndarray: ...


class Epochs(Protocol):
    """Where rows come from, in an order that is a function of (seed, epoch) alone."""

    @property
    def batch_size(self) -> int: ...

    @property
    def steps_per_epoch(self) -> int: ...

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]: ...


@dataclass(frozen=True, slots=True)
class Rounds:
    """Batches in rounds of some steps each, which go from one epoch of the rows into the next."""

    batches: Epochs
    steps_per_epoch: int

    @property
    def batch_size(self) -> int:
        return self.batches.batch_size

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Every step's batch of a round from `start` on."""
        step, end = number * self.steps_per_epoch + start, (number + 1) * self.steps_per_epoch
        while step < end:
            epoch, place = divmod(step, self.batches.steps_per_epoch)
            for batch in islice(self.batches.epoch(epoch, place), end - step):
                yield batch
                step += 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batches:
    """The batches of a split.

    Args:
        images: uint8 (N, C, H, W) on the device, or a function from row numbers to (B, C, H, W); of texts
            their numbers, int32 (N, T).
        targets: int64 (N,).
        ids: int64 (N,): the bits of each row's id.
        batch_size: rows of a batch over all ranks.
        policy: augmentation; None or empty changes nothing.
        num_classes: of the targets, for a policy that mixes rows.
        class_weights: float32 (K,): what a row of each class counts in the loss; None: alike.
        is_balanced: every class comes equally often in an epoch, as `balance.turns` says.
        is_shuffled: in an order of (seed, epoch); else in the order of the rows.
        lengths: int64 (N,), of rows that differ in it: then those of a batch are of like length. None: equal.
        drops_last: leave out a last batch that is not full, unless it is the only one.
        rank: this process among `world`; it takes every world-th row of each batch.
    """

    images: Tensor | Callable[[np.ndarray], np.ndarray]
    targets: Tensor
    ids: Tensor
    batch_size: int
    seed: int = 0
    policy: Sequence[Mapping[str, Any]] | None = None
    num_classes: int = 0
    channels_last: bool = False
    device: str = "cpu"
    class_weights: Tensor | None = None
    is_balanced: bool = False
    is_shuffled: bool = True
    lengths: Tensor | None = None
    drops_last: bool = False
    rank: int = 0
    world: int = 1

    @property
    def num_rows(self) -> int:
        return len(self.targets)

    @property
    def steps_per_epoch(self) -> int:
        full, rest = divmod(self.num_rows, self.batch_size)
        return full if rest == 0 or (self.drops_last and full) else full + 1

    def at(self, rows: Tensor) -> Tensor:
        """Images of some rows, by their numbers, as they are."""
        if isinstance(self.images, Tensor):
            return self.images.index_select(0, rows.to(self.device))
        return torch.from_numpy(np.ascontiguousarray(self.images(rows.cpu().numpy()))).to(self.device)

    def order(self, epoch: int) -> Tensor:
        """int64 (N,): the row numbers of an epoch in turn; N is added where a row comes once more."""
        if self.is_balanced:
            turns = balance.turns(self.targets.cpu(), seed=self.seed, epoch=epoch)
        elif self.is_shuffled:
            places = torch.arange(self.num_rows)
            turns = torch.argsort(draws.hashes(places, seed=self.seed, epoch=epoch), stable=True)
        else:
            turns = torch.arange(self.num_rows)
        return turns if self.lengths is None else self._alike(turns, self.lengths, epoch)

    def _alike(self, turns: Tensor, lengths: Tensor, epoch: int) -> Tensor:
        """Turns sorted by length: all of them where the order is that of the rows; else pool by pool, then
        the batches in an order of their own, what does not fill one last."""
        length = lengths[turns % self.num_rows]
        if not self.is_shuffled:
            return turns[torch.argsort(length, stable=True)]
        pools = zip(turns.split(POOL * self.batch_size), length.split(POOL * self.batch_size))
        in_pools = torch.cat([some[torch.argsort(own, stable=True)] for some, own in pools])
        full, left = divmod(len(turns), self.batch_size)
        whole, rest = in_pools.split([full * self.batch_size, left])
        order = torch.argsort(draws.hashes(-1 - torch.arange(full), seed=self.seed, epoch=epoch), stable=True)
        return torch.cat([whole.view(full, self.batch_size)[order].flatten(), rest])

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """Every step's batch from `start` on.

        Images are uint8 unless the policy makes them float. A policy that mixes rows gives targets as shares
        of the classes, float32 (B, K).
        """
        order = self.order(number)
        plans = iter(self._mine(order)[start : self.steps_per_epoch])
        pairs = self._resident(plans) if isinstance(self.images, Tensor) else self._streamed(plans)
        is_varied, mixes = bool(augment.strengths(self.policy)), mix.needs(self.policy)
        for turns, images in pairs:
            rows = turns % self.num_rows if self.is_balanced else turns
            ids, targets, weights = self.ids.index_select(0, rows), self.targets.index_select(0, rows), None
            if is_varied:
                drawn = self._drawn_as(ids, turns) if self.is_balanced else ids
                uniforms = augment.drawn(self.policy, drawn, seed=self.seed, epoch=number)
                images = augment.apply(self.policy, images, uniforms)
                weights = augment.weights(self.policy, uniforms)
                if mixes:
                    images, targets = mix.apply(self.policy, images, targets, uniforms, self.num_classes)
                    weights = None if weights is None else weights * weights.flip(0)
            if self.class_weights is not None:
                counted = targets @ self.class_weights if targets.ndim == 2 else self.class_weights[targets]
                weights = counted if weights is None else weights * counted
            if self.channels_last:
                images = images.contiguous(memory_format=torch.channels_last)
            yield Batch(images, targets, ids, weights)

    def _drawn_as(self, ids: Tensor, turns: Tensor) -> Tensor:
        """What a row draws as: when it comes again, it is varied otherwise."""
        times = turns // self.num_rows
        return torch.where(times > 0, draws.mix(ids ^ times), ids)

    def _mine(self, order: Tensor) -> list[Tensor]:
        """This rank's rows of every step."""
        plans = order.split(self.batch_size)
        return [plan[self.rank :: self.world] for plan in plans] if self.world > 1 else list(plans)

    def _resident(self, plans: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        assert isinstance(self.images, Tensor)
        for plan in plans:
            turns = plan.to(self.device, non_blocking=True)
            yield turns, self.images.index_select(0, turns % self.num_rows if self.is_balanced else turns)

    def _streamed(self, plans: Iterator[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Decodes AHEAD batches in advance; leaving early waits for those under way."""
        fetch = self.images
        assert not isinstance(fetch, Tensor)
        waiting: deque[tuple[Tensor, Any]] = deque()
        with ThreadPoolExecutor(AHEAD) as pool:
            for plan in plans:
                waiting.append((plan, pool.submit(fetch, (plan % self.num_rows).numpy())))
                if len(waiting) > AHEAD:
                    yield self._arrived(*waiting.popleft())
            while waiting:
                yield self._arrived(*waiting.popleft())

    def _arrived(self, plan: Tensor, pending: Any) -> tuple[Tensor, Tensor]:
        images = torch.from_numpy(np.ascontiguousarray(pending.result()))
        return plan.to(self.device), images.to(self.device, non_blocking=True)


def of(
    rows: Source,
    *,
    batch_size: int,
    seed: int = 0,
    size: int | None = None,
    policy: Sequence[Mapping[str, Any]] | None = None,
    num_classes: int = 0,
    class_weights: Tensor | None = None,
    is_balanced: bool = False,
    channels_last: bool = False,
    device: str = "cpu",
    is_shuffled: bool = True,
    lengths: np.ndarray | None = None,
    drops_last: bool = False,
    has_targets: bool = True,
    rank: int = 0,
    world: int = 1,
) -> Batches:
    """The batches of a split, resident when it fits in memory and streamed otherwise.

    Args:
        has_targets: false where rows are their own targets; then these are 0.
        lengths: of rows, where they differ in it; batches then hold rows of like length.
        size: side that pictures are resized to; None keeps their own.

    Raises:
        DataError: pictures differ in size and none is given.
    """
    if size is None and not rows.is_uniform:
        raise DataError(
            f"the pictures of {rows.split} differ in size", hint="give an image size, such as 224"
        )
    whole = torch.from_numpy(rows.whole(size)).to(device) if rows.fits(size) else None
    targets = torch.from_numpy(rows.targets.copy()) if has_targets else torch.zeros(rows.num_rows)
    return Batches(
        images=whole if whole is not None else lambda chosen: rows.batch(chosen, size),
        targets=targets.to(device),
        ids=torch.from_numpy(rows.ids.view(np.int64).copy()).to(device),
        batch_size=batch_size, seed=seed, policy=policy, num_classes=num_classes,
        class_weights=class_weights, is_balanced=is_balanced, channels_last=channels_last, device=device,
        is_shuffled=is_shuffled, lengths=None if lengths is None else torch.from_numpy(lengths),
        drops_last=drops_last, rank=rank, world=world,
    )  # fmt: skip
