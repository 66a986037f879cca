"""A generator's student nears what its teacher makes, and is a Model like it."""

import numpy as np
import pytest
import torch

import lichen as li
from lichen.core.errors import UsageError
from lichen.core.session import Session, using
from lichen.engine.generation import generating, imitation
from lichen.engine.modules import backend
from lichen.nets.ctgan import NUM_CHOOSING

NUM_CODES = 4
ADAM = {"optimizer": "adam", "rate": 0.01, "precision": "float32", "batch_size": 32}


def pictures(num_rows=96):
    images = np.random.default_rng(0).integers(0, 256, (num_rows, 1, 8, 8), dtype=np.uint8)
    return li.arrays(images, np.arange(num_rows) % 3, ["a", "b", "c"], ["train"] * num_rows)


def table(num_rows=96):
    draws, y = np.random.default_rng(0), np.arange(num_rows) % 2
    columns = {"x": (y + draws.normal(0, 0.1, num_rows)).tolist(), "w": [["so", "no"][one] for one in y]}
    return li.table(columns, y, ["low", "high"], ["train"] * num_rows)


def maker(data):
    """A generator of fresh weights: what it makes differs by code and class, and that is to be learnt."""
    with using(Session()):
        if "tabular" in data.schema:
            options = {"width": 8, "num_codes": NUM_CODES, "pack": 4, "batch_size": 96, "seed": 1}
            return li.generate.ctgan(data, epochs=1, **options).generator
        return li.generate.gan(data, epochs=1, num_codes=NUM_CODES, generator_options={"width": 8}, seed=1,
                               discriminator_options={"width": 4}, precision="float32").generator  # fmt: skip


def made(model, module=None):
    """What a generator makes of codes that nobody learnt from."""
    module = module or backend.module_of(model)
    num_classes = len(model.assets["labels"])
    codes = generating.codes(60, model.assets["num_codes"], seed=5)
    found = generating._outputs(module.eval(), np.arange(60) % num_classes, codes, num_classes, "cpu")
    return torch.cat([part.flatten(1) for part in found])


@pytest.fixture(scope="module", params=[(pictures, "generator"), (table, "ctgan")], ids=["pictures", "table"])
def life(request):
    data, net = request.param
    teacher = maker(data())
    with using(Session()):
        student = li.compress.distil(teacher, data(), net=net, net_options={"width": 4}, epochs=40, **ADAM)
    return teacher, student, net


def test_the_student_nears_what_its_teacher_makes(life):
    teacher, student, net = life
    torch.manual_seed(0)
    fresh = imitation.fresh(net, {"width": 4}, teacher, backend.module_of(teacher))
    goal = made(teacher)
    apart = [float((one - goal).square().mean()) for one in (made(teacher, fresh), made(student))]
    assert apart[1] < 0.8 * apart[0]
    assert student.num_params < teacher.num_params


def test_it_is_a_model_like_its_teacher(life):
    teacher, student, _ = life
    assert student.task == teacher.task and dict(student.assets) == dict(teacher.assets)
    label = teacher.assets["labels"][1]
    replies = [model.predict([label, f"{label}#1"]) for model in (teacher, student)]
    assert [list(reply) for reply in replies[0]] == [list(reply) for reply in replies[1]]
    assert replies[1][0] != replies[1][1]


def test_a_table_s_student_is_asked_for_levels_as_often(life):
    teacher, student, net = life
    if net == "ctgan":
        one, other = (model.weights()["shares"].numpy() for model in (teacher, student))
        assert (one == other).all() and not (one == 1.0).all()
        assert student.options["spans"] == teacher.options["spans"]
        assert student.assets["num_codes"] > NUM_CODES + NUM_CHOOSING


def test_the_loss_is_the_mean_square_of_what_both_make_of_equal_codes():
    asked = []

    class Kept(torch.nn.Module):
        def __init__(self, scale):
            super().__init__()
            self.scale = scale

        def forward(self, x):
            asked.append(x)
            return self.scale * x

    rows = torch.tensor([[2, 7, 7], [0, 9, 9]], dtype=torch.uint8).view(2, 1, 1, 3)
    loss = imitation.objective(Kept(1.0), {"labels": ["a", "b", "c"], "num_codes": 2})(Kept(3.0), rows, rows)
    assert torch.equal(asked[0], asked[1]) and asked[0][:, :3].argmax(1).tolist() == [2, 0]
    torch.testing.assert_close(loss, (2.0 * asked[0]).square().mean(1))


def test_what_makes_no_such_rows_is_refused(life):
    teacher, _, net = life
    data = pictures() if net == "generator" else table()
    with using(Session()):
        with pytest.raises(UsageError, match="must make such rows from codes; `cnn` does not"):
            li.compress.distil(teacher, data)
        with pytest.raises(UsageError, match="no feature maps"):
            li.compress.distil(teacher, data, net=net, features="hints")
        other = (
            li.table({"z": list(range(9))}, [0, 1, 1] * 3, ["low", "high"], ["train"] * 9)
            if net == "ctgan"
            else li.arrays(np.zeros((4, 1, 8, 8), np.uint8), [0, 1] * 2, ["x", "y"], ["train"] * 4)
        )
        with pytest.raises(UsageError, match="must be the data's: (z|x, y)"):
            li.compress.distil(teacher, other, net=net)
