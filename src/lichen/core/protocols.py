"""protocols: the small interfaces through which rooms that never import each other meet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from lichen.core.array import Array
from lichen.core.dataset import Dataset


class Task(Protocol):
    """What is to be learnt. One file in `tasks/` defines `TASK`, an object of this form.

    Shapes: B rows of a batch, N rows of a split, K outputs. Tensors are torch's.
    """

    name: str
    headline: str
    """The metric that decides, such as `accuracy`."""
    higher_is_better: bool
    columns: tuple[str, ...]
    """The roles a dataset's schema must fill, such as `("image", "label")`."""

    def check(self, data: Dataset, split: str) -> None:
        """Refuses rows that cannot be learnt from.

        Raises:
            DataError: a missing column, a single class, a label that is no class; names file, row or column.
        """
        ...

    def num_outputs(self, data: Dataset) -> int: ...

    def assets(
        self,
        data: Dataset,
        image_size: int | None = None,
        *,
        normaliser: tuple[list[float], list[float]] | None = None,
    ) -> dict[str, Any]:
        """What answering needs beside weights, off train rows only: `labels`, `mean`, `std`, `image_shape`.

        Args:
            image_size: the side pictures are resized to; None: their own.
            normaliser: mean and deviation per channel that pretrained weights were trained with.
        """
        ...

    def inputs(self, batch: Any, assets: Mapping[str, Any]) -> Any:
        """uint8 (B, C, H, W), or the numbers of texts int32 (B, T) -> the tensor that the net takes."""
        ...

    def loss(self, outputs: Any, targets: Any) -> Any:
        """Per-row loss (B,) of outputs (B, K)."""
        ...

    def blank_loss(self, outputs: Any) -> Any:
        """Per-row loss (B,) against targets that favour no answer, which label smoothing mixes in."""
        ...

    def figures(self, outputs: Any, targets: Any) -> dict[str, float]:
        """The headline and loss of numpy (N, K) and targets alone, cheap enough for every epoch."""
        ...

    def score(self, outputs: Any, targets: Any) -> tuple[dict[str, dict[str, float]], dict[str, Array]]:
        """Metrics with 95 % intervals, and the answers per row that `Scores` keeps; of numpy (N, K)
        and targets: (N,) classes, or (N, K) of 0 and 1 where rows may have several labels."""
        ...

    def reply(self, outputs: Any, assets: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What a person is shown per row of numpy outputs (B, K)."""
        ...


@runtime_checkable
class Taught(Protocol):
    """A task whose answers a teacher can teach; of others a student learns from labels alone."""

    def apart(self, outputs: Any, taught: Any, assets: Mapping[str, Any], temperature: float) -> Any:
        """How far outputs (B, K) are from a teacher's, per row (B,); the temperature softens chances."""
        ...


@runtime_checkable
class SelfSupervised(Protocol):
    """A task whose rows are their own targets, such as telling the next token.

    Its net says more of a row than could be kept; what is `told`, or `kept` of outputs that are there, stands
    in for outputs wherever rows are scored and answered. Shapes: B rows of a batch, T tokens.
    """

    def objective(self, module: Any, rows: Any, assets: Mapping[str, Any]) -> Any:
        """The loss of a batch, a scalar, of rows as batches have them."""
        ...

    def told(self, module: Any, rows: Any, assets: Mapping[str, Any]) -> Any:
        """What stays of what a net says of rows: a number per token, (B, T)."""
        ...

    def kept(self, outputs: Any, rows: Any, assets: Mapping[str, Any]) -> Any:
        """What stays of a net's outputs (B, T, ...): a number per token, (B, T)."""
        ...


@runtime_checkable
class Decoded(Protocol):
    """A self-supervised task whose answer is a text that a net tells token by token, given another.

    While a net trains it is judged by `quick`, one of the `figures`, of which less is better; the headline is
    of texts that were told. Shapes: N rows, T tokens.
    """

    quick: str

    def smoothed(self, module: Any, rows: Any, assets: Mapping[str, Any], share: float) -> Any:
        """The objective where this share of each target goes to all tokens alike."""
        ...

    def judge(
        self, outputs: Any, targets: Any, said: list[str], wanted: list[str]
    ) -> tuple[dict[str, dict[str, float]], dict[str, Array]]:
        """As `score`, of what was kept (N, T) and of what was said beside what was wanted."""
        ...


class Feed(Protocol):
    """How what a person hands in becomes a row that a net takes; one for each kind of row."""

    def typed(self, text: str, piped: bytes | None) -> list[Any]:
        """The inputs that a word of the command line means.

        Args:
            piped: what came through standard input, where the word is `-`.
        """
        ...

    def listed(self, inputs: Any) -> list[Any]:
        """The inputs one by one, in every form that `predict` takes."""
        ...

    def decoded(self, item: Any, where: str, assets: Mapping[str, Any]) -> Any:
        """The numpy row of one input.

        Raises:
            DataError: it cannot be read; names it.
        """
        ...


@runtime_checkable
class Primed(Protocol):
    """A net that is set up by train rows, as they are, before it learns: by whitening them, for example."""

    def prime(self, x_BCHW: Any) -> None:
        """Takes up what it needs of some train rows, as the task's `inputs` gives them."""
        ...


class Backend(Protocol):
    """What core needs of a framework: arrays into modules and back."""

    def module_of(self, model: Any) -> Any: ...

    def arrays_of(self, module: Any) -> dict[str, Array]: ...
