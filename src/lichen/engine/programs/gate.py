"""gate: what an export must pass before it leaves: checks in turn, each of which catches what no other does.

Shapes: N rows, B rows of a batch, C channels, H height, W width, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lichen.core.errors import DataError, GateError, LichenError, UsageError
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.data import encoder, pictures, png
from lichen.engine import answer
from lichen.engine.decode import Decoder
from lichen.engine.inputs import feeds
from lichen.engine.programs import executorchfile, onnxfile, torchfile
from lichen.engine.programs.parity import Reference
from lichen.engine.sampling import Sampling

BATCHES = (32, 7, 2, 1)
"""Rows asked about at once; a graph that was traced with so many may answer no other number. Many rows first:
they tell faults apart."""
PROBES = 8
"""Rows that are stretched to see how a picture of another size is prepared."""
CONTINUED, TOLD = 8, 24
"""Texts that are gone on with, and tokens of each."""
LEVELS = 1
"""Of 255: by so much a pixel may differ from the one that was trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an export may differ by."""

    tolerance: float
    """Of an output, as a share of the largest: float32."""
    max_drop: float
    """Of the headline: all other arithmetic."""
    max_flips: float
    """Share of rows that may be answered otherwise; one row always may."""


def require_fit(reference: Reference, program: Program) -> None:
    """Asks what a glance shows: before Programs are raced, for a race runs them.

    Raises:
        GateError: a Program does not pass; says which fault it shows.
    """
    for check in FIT:
        check(reference, program)


def require_same(reference: Reference, program: Program, terms: Terms) -> str:
    """Asks about every row; what the comparison says of a Program that passes.

    Raises:
        GateError: it does not; says which fault it shows.
    """
    said = [check(reference, program, terms) for check in SAME]
    return "; ".join(words for words in said if words)


def require_version(reference: Reference, program: Program) -> None:
    """The file says the version of the operations that was meant: others may mean other things by them."""
    files = {name: bytes(data) for name, data in program.files().items()}
    try:
        if "model.onnx" in files:
            onnxfile.require_sound(files["model.onnx"])
            if isinstance(reference.value, Model):
                onnxfile.require_opset(files["model.onnx"])
        if executorchfile.NAME in files:
            executorchfile.require_version(files[executorchfile.NAME])
        if torchfile.NAME in files:
            torchfile.require_plain(files[torchfile.NAME])
    except LichenError as error:
        raise GateError(f"wrong version of operations: {error.message}", where=error.where) from error


def require_labels(reference: Reference, program: Program) -> None:
    """The words that outputs are told by are the model's, in its order."""
    wanted, found = (list(value.assets.get("labels") or ()) for value in (reference.value, program))
    if wanted != found:
        word = "in another order" if sorted(wanted) == sorted(found) else "others"
        place = next((at for at, pair in enumerate(zip(wanted, found)) if pair[0] != pair[1]), len(found))
        raise GateError(
            f"permuted labels: the export's are {word}; at place {place} it says "
            f"{found[place : place + 1]}, the model {wanted[place : place + 1]}"
        )


def require_pictures(reference: Reference, program: Program) -> None:
    """A picture, also a larger one that is no square, reaches the graph as it reached the training."""
    if not reference.has_pictures:
        return
    trained = list(reference.value.assets["image_shape"])
    channels, height, width = trained
    if list(program.assets["image_shape"]) != trained:
        raise GateError(f"wrong resize: the export takes pictures of {program.assets['image_shape']}, "
                        f"the model was trained on {trained}")  # fmt: skip
    for row, encoded, wanted_CHW in _prepared(reference, channels, height, width):
        try:
            found_CHW = answer.decode([encoded], program.assets["image_shape"])[0]
        except (DataError, UsageError) as error:
            raise GateError(f"the path that serves cannot read a picture: {error.message}") from error
        apart = int(np.abs(found_CHW.astype(int) - wanted_CHW).max())
        if apart > LEVELS:
            raise GateError(
                "wrong padding or resize: a picture of another size must be prepared as in training;"
                f" pixels differ by {apart} of 255", where=reference.rows.describe(row),
            )  # fmt: skip


def _prepared(
    reference: Reference, channels: int, height: int, width: int
) -> Iterator[tuple[int, bytes, np.ndarray]]:
    """Rows, encoded as they are and stretched, with the pixels that training makes of them."""
    for row in range(min(PROBES, len(reference.images_NCHW))):
        pixels_CHW = reference.images_NCHW[row]
        plain = png.encode(pixels_CHW)
        yield row, plain, pictures.decode(plain, channels, None)
        if height == width:
            wide = png.encode(pixels_CHW.repeat(2, 1).repeat(3, 2)[:, :-1])
            yield row, wide, pictures.decode(wide, channels, height)


def require_batches(reference: Reference, program: Program) -> None:
    """Any number of rows is answered at once."""
    for size in BATCHES:
        rows = np.arange(size) % len(reference.images_NCHW)
        try:
            found_BK = answer.logits(program, reference.images_NCHW[rows])
        except UsageError as error:
            raise GateError(
                f"fixed batch size: {size} rows at once are not answered: {error.message}"
            ) from error
        if len(found_BK) != size:
            raise GateError(f"fixed batch size: {size} rows at once get {len(found_BK)} answers")


def require_finite(reference: Reference, program: Program, terms: Terms) -> str:
    """No number overflows where the model's does not, on rows and on the blackest and whitest pictures."""
    extremes = _extremes(reference) if reference.has_pictures else _ends(reference.images_NCHW)
    extremes_NCHW = np.resize(extremes, reference.images_NCHW[: answer.BATCH_SIZE].shape)
    wanted_NK = answer.logits(reference.value, extremes_NCHW)
    for what, wanted, images in (
        ("rows", reference.outputs_NK, reference.images_NCHW),
        ("inputs at the ends of the range", wanted_NK, extremes_NCHW),
    ):
        lost_N = np.isfinite(wanted).all(1) & ~np.isfinite(answer.logits(program, images)).all(1)
        if lost_N.any():
            raise GateError(
                f"overflow in {program.precision}: {lost_N.sum()} of {len(lost_N)} {what} get outputs that"
                " are no numbers", hint="precision='float32'",
            )  # fmt: skip
    return ""


def _extremes(reference: Reference) -> np.ndarray:
    """uint8 (4, C, H, W): black, white, a board of both, and a bright half."""
    shape = reference.images_NCHW.shape[1:]
    board = np.indices(shape).sum(0) % 2 * 255
    half = np.indices(shape)[2] * 2 // shape[2] * 255
    return np.stack([np.zeros(shape), np.full(shape, 255), board, half]).astype(np.uint8)


def _ends(rows: np.ndarray) -> np.ndarray:
    """(3, ...): nothing, and the least and the most of each number that rows have."""
    return np.stack([np.zeros_like(rows[0]), rows.min(0), rows.max(0)])


def require_outputs(reference: Reference, program: Program, terms: Terms) -> str:
    """Float outputs are the model's for any number of rows; reduced ones cost no more than may be lost."""
    if program.precision != "float32":
        return f"{program.precision}: {reference.require_close(program, terms.max_drop)}"
    for size in BATCHES:
        rows = np.arange(size) % len(reference.images_NCHW)
        found_BK = answer.logits(program, reference.images_NCHW[rows])
        reference.require_rows(found_BK, rows, terms.tolerance)
    worst = reference.require_equal(program, terms.tolerance)
    return f"answers as the model to {worst:.1e} of its largest output"


def require_answers(reference: Reference, program: Program, terms: Terms) -> str:
    """Rows as they are stored get the model's answers by the whole path that serves, but for a few."""
    if feeds.are_packed(reference.value.assets):
        return _require_texts(reference, program)
    assets = reference.value.assets
    wanted = _told(reference.task.reply(reference.outputs_NK, assets), assets)
    found: list[Any] = []
    num_rows = len(reference.outputs_NK)
    for start in range(0, num_rows, answer.BATCH_SIZE):
        rows = np.arange(start, min(start + answer.BATCH_SIZE, num_rows))
        found += _told(answer.predict(program, reference.inputs(rows)), assets)
    pairs = enumerate(zip(wanted, found, strict=True))
    flipped = [place for place, pair in pairs if not _are_alike(*pair, terms.tolerance)]
    allowed = max(1, int(terms.max_flips * len(wanted)))
    what = "rows" if len(wanted) == num_rows else "cells"
    if len(flipped) > allowed:
        place = flipped[0]
        raise GateError(
            f"at most {allowed} of {len(wanted)} {what} may be answered otherwise than by the model;"
            f" {len(flipped)} are: here {found[place]!r} instead of {wanted[place]!r}",
            where=reference.rows.describe(place * num_rows // len(wanted)),
            hint="a larger max_flips, or precision='float32'",
        )  # fmt: skip
    return f"{len(flipped)} of {len(wanted)} {what} answered otherwise"


def _require_texts(reference: Reference, program: Program) -> str:
    """What is told after the beginnings of rows is what the model tells: real texts, token by token.

    One of them may take another way where two tokens are as likely as each other; where numbers are rounded,
    any may, and the headline has said what that costs.
    """
    read = [np.atleast_2d(row)[0] for row in reference.images_NCHW[:CONTINUED]]
    begun = [row[: len(row) // 2 or 1] for row in read]
    greedy = Sampling(temperature=0)
    wanted, found = ([list(told.items()) for told in Decoder.of(value).tokens(begun, TOLD, greedy)]
                     for value in (reference.value, program))  # fmt: skip
    texts = [{row: [token for step in said for at, token in step if at == row] for row in range(len(begun))}
             for said in (wanted, found)]  # fmt: skip
    others = [row for row in range(len(begun)) if texts[0][row] != texts[1][row]]
    if program.precision == "float32" and len(others) > 1:
        row = others[0]
        raise GateError(
            f"the export must tell what the model tells; {len(others)} of {len(begun)} texts go on otherwise:"
            f" {texts[1][row][:8]} instead of {texts[0][row][:8]}", where=reference.rows.describe(row),
        )  # fmt: skip
    return f"{len(begun) - len(others)} of {len(begun)} texts told alike"


def _told(replies: list[dict[str, Any]], assets: Mapping[str, Any]) -> list[Any]:
    """What is compared of replies: labels; of made rows of a table each cell; else all that they say."""
    if "row" not in replies[0]:
        return [reply.get("label", reply) for reply in replies]
    columns = encoder.of(assets["encoder"]).columns
    numbers = [column.encode([reply["row"][column.name] for reply in replies]) for column in columns]
    return [{"cell": cell} for row in zip(*numbers, strict=True) for cell in row]


def _are_alike(one: Any, other: Any, tolerance: float) -> bool:
    """Equal; actions and vectors as close as outputs must be; no pixel apart by more than its rounding."""
    for name in ("action", "embedding", "cell"):
        if isinstance(one, dict) and name in one:
            return np.allclose(one[name], other[name], rtol=tolerance, atol=tolerance)
    if not (isinstance(one, dict) and "picture" in one and "picture" in other):
        return one == other
    left, right = (png.decode_uri(said["picture"]) for said in (one, other))
    return left.shape == right.shape and int(np.abs(left.astype(int) - right).max()) <= LEVELS


FIT: tuple[Callable[[Reference, Program], None], ...] = (
    require_version, require_labels, require_pictures, require_batches,
)  # fmt: skip
SAME: tuple[Callable[[Reference, Program, Terms], str], ...] = (
    require_finite, require_outputs, require_answers,
)  # fmt: skip
