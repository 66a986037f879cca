"""test_trackers: what TensorBoard and MLflow show is what the events say, live or replayed."""

import json

import pytest

from lichen.core import events
from lichen.core.errors import UsageError

HISTORY = [{"epoch": number, "loss": 1.0 / number, "accuracy": 0.5 + 0.1 * number} for number in (1, 2, 3)]
ROW = {"split": "validation", "metric": "accuracy", "value": 0.8, "num_params": 10, "size_bytes": 40,
       "latency_ms": 0.5, "throughput": None}  # fmt: skip


@pytest.fixture
def path(tmp_path):
    log = events.Events(tmp_path / "events.jsonl")
    log.emit("run.start", run="r1")
    log.emit("step.start", step="pretrain.train", key="k", options={"epochs": 3, "net": "mlp"})
    for figures in HISTORY:
        log.emit("history", step="pretrain.train", key="k", **figures)
    log.emit("history", step="pretrain.train", key="k", phase="head", epoch=1, loss=9.0)
    log.emit("row", row=ROW)
    log.emit("run.end", run="r1", status="done")
    log.close()
    return tmp_path / "events.jsonl"


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_has_every_figure_by_epoch(path, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from lichen.report import tensorboard

    assert events.replay(path, tensorboard.sink(tmp_path / "tb")) == 8
    shown = EventAccumulator(str(tmp_path / "tb"))
    shown.Reload()
    for name in ("loss", "accuracy"):
        scalars = shown.Scalars(f"pretrain.train/{name}")
        assert [scalar.step for scalar in scalars] == [1, 2, 3]
        assert [scalar.value for scalar in scalars] == pytest.approx([figures[name] for figures in HISTORY])
    assert [scalar.value for scalar in shown.Scalars("pretrain.train/head/loss")] == [9.0]
    assert shown.Scalars("life/validation_accuracy")[0].value == pytest.approx(0.8)


@pytest.mark.filterwarnings("ignore")
def test_mlflow_has_options_and_every_figure(path, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow.tracking import MlflowClient

    from lichen.report import mlflow

    uri = (tmp_path / "mlruns").as_uri()
    events.replay(path, mlflow.sink(uri))
    client = MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("lichen").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params == {"pretrain.train.epochs": "3", "pretrain.train.net": "mlp"}
    losses = client.get_metric_history(run.info.run_id, "pretrain.train.loss")
    assert sorted((entry.step, entry.value) for entry in losses) == [
        (n, pytest.approx(1.0 / n)) for n in (1, 2, 3)
    ]
    (head,) = client.get_metric_history(run.info.run_id, "pretrain.train.head.loss")
    assert head.value == 9.0


def test_a_cut_last_line_is_left_out(path):
    whole = list(events.read(path))
    path.write_bytes(path.read_bytes() + b'{"at": 1, "kind": "his')
    assert list(events.read(path)) == whole
    assert json.dumps(whole)


def test_an_unknown_tracker_is_refused():
    from lichen.cli.running import tracker

    with pytest.raises(UsageError, match="tensorboard:FOLDER"):
        tracker("wandb:here")
