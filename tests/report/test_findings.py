"""What a report shows of a life is of that life: its own data, its task's metric, its main training."""

import numpy as np
import pytest

import lichen as li
from lichen.core.session import opened
from lichen.report import findings, verdict


def error_rate(outputs, targets):
    return float((outputs.argmax(1) != targets).mean())


error_rate.higher_is_better = False


def bands(seed, num_rows=90):
    draws = np.random.default_rng(seed)
    targets = np.arange(num_rows) % 3
    images = draws.integers(0, 60, (num_rows, 1, 8, 8))
    for row, target in enumerate(targets):
        images[row, 0, 2 * target : 2 * target + 2] += 150
    splits = [("train", "validation", "test")[row // 3 % 3] for row in range(num_rows)]
    return li.arrays(images.astype("uint8"), targets, labels=list("abc"), splits=splits)


@pytest.fixture
def session(tmp_path):
    with opened(tmp_path / ".lichen") as session:
        yield session


def trained(data, **options):
    return li.pretrain.train(data, net="mlp", precision="float32", **{"epochs": 1, **options})


def test_scores_on_other_data_are_not_the_lifes_own(session):
    data, other = bands(1), bands(2)
    model = trained(data)
    li.evaluate(model, other)
    li.evaluate(model, other, split="test")
    found = findings.gather(model, session)
    assert found.test is None and found.last.scores is None
    own = li.evaluate(model, data)
    assert findings.gather(model, session).last.scores.digest == own.digest


def test_a_metric_of_ones_own_does_not_replace_the_headline(session):
    data = bands(1)
    model = trained(data)
    li.evaluate(model, data)
    li.evaluate(model, data, metric=error_rate)
    assert findings.gather(model, session).last.scores.headline == "accuracy"


def test_an_error_that_falls_is_not_told_as_harm(session):
    """Rows keep their share of the task's headline, which says nothing of another metric."""
    data = bands(1)
    bad = trained(data, rate=1e-6)
    good = li.adapt.finetune(bad, data, epochs=6, rate=0.1, precision="float32")
    for model in (bad, good):
        li.evaluate(model, data, metric=error_rate)
    assert verdict.changes(findings.gather(good, session)) == []
    for model in (bad, good):
        li.evaluate(model, data)
    (change,) = verdict.changes(findings.gather(good, session))
    assert change.verdict == "helps"


def test_a_metric_without_a_figure_is_refused(session):
    data = bands(1)
    with pytest.raises(li.LichenError, match="must give a number"):
        li.evaluate(trained(data), data, metric=lambda outputs, targets: float("nan"))


def test_a_head_that_learns_first_is_a_curve_of_its_own(session):
    data = bands(1)
    model = li.adapt.finetune(trained(data), data, head="new", epochs=2, head_epochs=4, precision="float32")
    found = findings.gather(model, session)
    call = found.calls[-1].id
    assert [event["epoch"] for event in found.history[call]] == [1, 2]
    assert not any("phase" in event for event in found.history[call])
    assert [event["epoch"] for event in found.phases[call]["head"]] == [1, 2, 3, 4]
