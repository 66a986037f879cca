"""image_generation: a generator is scored, asked and exported as any other model."""

import numpy as np
import pytest
import torch

import lichen as li
from lichen.core.errors import DataError, GateError, UsageError
from lichen.core.session import Session, using
from lichen.engine import answer
from lichen.engine.inputs import codes
from lichen.tasks.image_generation import TASK


@pytest.fixture(scope="module")
def life():
    with using(Session()):
        data = li.load("digits", num_train=60)
        options = {"generator_options": {"width": 4}, "discriminator_options": {"width": 4}}
        yield data, li.generate.gan(data, epochs=1, num_codes=8, precision="float32", **options).generator


def test_real_rows_cover_real_rows_and_one_picture_covers_few():
    rows = li.load("digits").rows("train").images
    rows = rows[np.random.default_rng(0).permutation(len(rows))]  # one writer's stand together
    made = rows[:300].reshape(300, -1) / 127.5 - 1
    found, answers = TASK.score(made.astype("float32"), rows[300:600])
    assert found["coverage"]["value"] > 0.9
    assert answers["outcome"].numpy().mean() == pytest.approx(found["coverage"]["value"])
    lost, _ = TASK.score(np.repeat(made[:1], 300, 0).astype("float32"), rows[300:600])
    assert (
        lost["coverage"]["value"] < 0.1
        and lost["nearest_distance"]["value"] > found["nearest_distance"]["value"]
    )
    assert TASK.figures(made, rows[:300])["coverage"] == 1.0


def test_bytes_are_classes_and_equally_likely_numbers():
    stats = pytest.importorskip("scipy.stats")
    rows = codes.of_rows(np.arange(2000), np.arange(2000) % 3, 20)
    found = codes.inputs(torch.from_numpy(rows), 3)
    assert found.shape == (2000, 23) and torch.equal(found[:, :3].argmax(1), torch.arange(2000) % 3)
    assert stats.kstest(found[:, 3:].numpy().ravel()[::7], "norm").pvalue > 0.001
    unknown = np.full((1, 1, 1, 5), 255, np.uint8)
    assert codes.inputs(torch.from_numpy(unknown), 3)[0, :3].sum() == 0


def test_it_is_asked_by_class_and_number(life):
    _, generator = life
    replies = generator.predict(["3", "3#1", "3", 7])
    pictures = [reply["picture"] for reply in replies]
    assert pictures[0] == pictures[2] != pictures[1] and pictures[0] != pictures[3]
    assert all(picture.startswith("data:image/png") for picture in pictures)
    with pytest.raises(DataError, match="an input must be a class"):
        generator.predict("eleven")


def test_it_is_scored_on_rows_of_a_split_by_their_classes(life):
    data, generator = life
    scores = li.evaluate(generator, data)
    assert scores.headline == "coverage" and scores.num_rows == data.num_rows("validation")
    asked = codes.Codes(data.rows("validation"), 8, [1, 8, 8])
    assert asked.whole()[:, 0, 0, 0].tolist() == data.rows("validation").targets.tolist()
    assert np.array_equal(asked.batch([3, 1]), asked.whole()[[3, 1]])


@pytest.mark.slow
def test_it_is_exported_and_draws_the_same_pictures(life):
    data, generator = life
    program = li.deploy.export(generator, data, runtime="onnxruntime")
    rows = codes.of_rows(np.arange(5), np.arange(5), 8)
    apart = np.abs(answer.logits(program, rows) - answer.logits(generator, rows)).max()
    assert apart < 1e-4
    assert program.predict("3") == generator.predict("3")


@pytest.mark.slow
def test_an_export_that_lost_the_class_is_refused(life, monkeypatch):
    data, generator = life
    plain = codes.inputs

    def blind(batch, num_classes):
        found = plain(batch, num_classes)
        return torch.cat([torch.zeros_like(found[:, :num_classes]), found[:, num_classes:]], 1)

    from lichen.engine.programs import graph

    whole = graph.onnx_of

    def planted(model):
        with monkeypatch.context() as patch:
            patch.setattr(codes, "inputs", blind)
            return whole(model)

    monkeypatch.setattr(graph, "onnx_of", planted)
    with pytest.raises(GateError, match="must answer as the model"):
        li.deploy.export(generator, data, runtime="onnxruntime")


def test_it_is_not_trained_on_rows(life):
    data, _ = life
    with using(Session()), pytest.raises(UsageError, match="generate.gan trains one"):
        li.pretrain.train(data, net="mlp", task="image_generation", epochs=1)
