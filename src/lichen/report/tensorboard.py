"""tensorboard: a sink that writes curves and scores for TensorBoard, live or replayed from events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lichen.core.errors import missing_package
from lichen.core.events import Sink


def sink(folder: str | Path) -> Sink:
    """Writes every figure of `history` events by epoch, and of life-table rows by the order of steps.

    Raises:
        MachineError: the package `tensorboard` is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise missing_package("tensorboard", "tensorboard") from None
    writer = SummaryWriter(str(folder))
    rows = 0

    def take(event: dict[str, Any]) -> None:
        nonlocal rows
        if event["kind"] == "history":
            for name, value in figures(event).items():
                writer.add_scalar("/".join([*path(event), name]), value, event["epoch"], walltime=event["at"])
        elif event["kind"] in ("row", "test"):
            rows += 1
            for name, value in row_figures(event["row"]).items():
                writer.add_scalar(f"life/{name}", value, rows, walltime=event["at"])
        elif event["kind"] == "run.end":
            writer.close()

    return take


def path(event: dict[str, Any]) -> list[str]:
    """Whose figures a `history` event tells: a step's, or those of a phase before its main loop."""
    return [event["step"], event["phase"]] if event.get("phase") else [event["step"]]


def figures(event: dict[str, Any]) -> dict[str, float]:
    """The numbers of a `history` event."""
    outside = ("at", "kind", "step", "key", "epoch")
    return {
        name: float(value)
        for name, value in event.items()
        if name not in outside and isinstance(value, int | float) and not isinstance(value, bool)
    }


def row_figures(row: dict[str, Any]) -> dict[str, float]:
    """The numbers of a life-table row: its metric by name, and its cost."""
    found = {f"{row['split']}_{row['metric']}": row["value"]} if row["value"] is not None else {}
    for name in ("num_params", "size_bytes", "latency_ms", "throughput"):
        if row[name] is not None:
            found[name] = float(row[name])
    return found
