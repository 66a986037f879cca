"""mlflow: a sink that logs a run to MLflow, live or replayed from events."""

from __future__ import annotations

from typing import Any

from lichen.core.errors import missing_package
from lichen.core.events import Sink
from lichen.report.tensorboard import figures, path, row_figures


def sink(uri: str, *, experiment: str = "lichen") -> Sink:
    """Logs options as parameters, `history` figures by epoch and life-table rows by the order of steps.

    Args:
        uri: of an MLflow tracking store, such as `sqlite:///mlflow.db` or `http://host:5000`.

    Raises:
        MachineError: no MLflow package is installed.
    """
    try:
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise missing_package("mlflow-skinny", "mlflow") from None
    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    experiment_id = found.experiment_id if found else client.create_experiment(experiment)
    run = ""
    rows = 0

    def take(event: dict[str, Any]) -> None:
        nonlocal run, rows
        at_ms = int(event["at"] * 1000)
        if event["kind"] == "run.start":
            run = client.create_run(experiment_id, start_time=at_ms, run_name=event["run"]).info.run_id
        elif event["kind"] == "step.start":
            for name, value in event["options"].items():
                client.log_param(run, f"{event['step']}.{name}", value)
        elif event["kind"] == "history":
            for name, value in figures(event).items():
                client.log_metric(
                    run, ".".join([*path(event), name]), value, timestamp=at_ms, step=event["epoch"]
                )
        elif event["kind"] in ("row", "test"):
            rows += 1
            for name, value in row_figures(event["row"]).items():
                client.log_metric(run, f"life.{name}", value, timestamp=at_ms, step=rows)
        elif event["kind"] == "run.end":
            client.set_terminated(run, "FINISHED" if event["status"] == "done" else "FAILED", at_ms)

    return take
