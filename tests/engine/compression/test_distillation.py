"""test_distillation: what of a teacher is compared, against the formulas written out."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from lichen.core.errors import UsageError
from lichen.engine.compression import distillation
from lichen.engine.compression.distillation import Lessons, Student
from lichen.engine.task import task_of
from lichen.engine.training import optimizers

TASK = task_of("image_classification")
ASSETS = {"mean": [0.0] * 3, "std": [1.0] * 3}


class Net(nn.Module):
    """Two maps of 8x8 and one of 4x4."""

    def __init__(self, width):
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, 1, 1)
        self.second = nn.Conv2d(width, width, 3, 1, 1)
        self.third = nn.Conv2d(width, width + 1, 3, 2, 1)
        self.head = nn.Linear(width + 1, 4)

    def forward(self, x):
        return self.head(self.third(self.second(self.first(x))).mean((2, 3)))


def batch():
    return torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8), torch.arange(5) % 4


def test_outputs_are_compared_by_the_kl_of_softened_ones():
    teacher, student = Net(6), Net(2)
    x, y = batch()
    found = distillation.objective(teacher, TASK, ASSETS, Lessons(share=0.25))(student, x, y)
    t, s = (torch.softmax(net(x / 255) / 4.0, -1) for net in (teacher, student))
    expected = 0.75 * functional.cross_entropy(student(x / 255), y, reduction="none") + 0.25 * 16 * (
        t * (t / s).log()).sum(-1)  # fmt: skip
    torch.testing.assert_close(found, expected)
    assert not teacher.first.weight.requires_grad


def test_the_last_map_of_each_size_is_a_stage():
    assert distillation.stages(Net(2), (3, 8, 8)) == {(8, 8): "second", (4, 4): "third"}


@pytest.mark.parametrize("features", ["hints", "attention"])
def test_features_add_the_distance_of_maps_as_the_papers_have_it(features):
    teacher, net = Net(6), Net(2)
    x, y = batch()
    lessons = Lessons(share=0.5, features=features, feature_weight=3.0)
    student = Student(net, teacher, lessons, (3, 8, 8))
    found = distillation.objective(teacher, TASK, ASSETS, lessons)(student, x, y)
    plain = distillation.objective(teacher, TASK, ASSETS, Lessons(share=0.5))(net, x, y)
    maps = []
    for each in (net, teacher):
        second = each.second(each.first(x / 255))
        maps.append((second, each.third(second)))
    apart = 0.0
    for place, (own, their) in enumerate(zip(*maps, strict=True)):
        if features == "hints":
            apart = apart + 0.5 * (student.regressors[place](own) - their).pow(2).mean((1, 2, 3))
        else:
            owns, theirs = (m.pow(2).sum(1).flatten(1) for m in (own, their))
            owns, theirs = owns / owns.norm(dim=1, keepdim=True), theirs / theirs.norm(dim=1, keepdim=True)
            apart = apart + (owns - theirs).pow(2).sum(1)
    torch.testing.assert_close(found, plain + 3.0 * apart / 2)
    assert not any(layer._forward_hooks for layer in (*net.modules(), *teacher.modules()))


def test_a_students_own_tensors_are_those_of_its_net():
    teacher, net = Net(6), Net(2)
    student = Student(net, teacher, Lessons(share=0.5, features="hints"), (3, 8, 8))
    assert {name for name in student.state_dict() if not name.startswith("regressors")} == {
        f"net.{name}" for name in net.state_dict()
    }
    assert len(student.regressors) == 2


def test_nets_without_maps_of_equal_size_are_told_so():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    with pytest.raises(UsageError, match="feature maps of equal size"):
        Student(flat, Net(2), Lessons(share=0.5, features="attention"), (3, 8, 8))


def test_a_students_head_learns_as_a_head_does():
    """Matrices within go along orthogonal directions; the head does not, wrapped or not."""
    net = Net(2)
    student, found = Student(net, Net(6), Lessons(share=0.5), (3, 8, 8)), []
    for module in (net, student):
        groups = optimizers.build(module, name="muon_adamw", rate=0.01, weight_decay=0.1).param_groups
        found.append({id(own) for group in groups if group["is_orthogonal"] for own in group["params"]})
    assert found[0] == found[1] and id(net.head.weight) not in found[1] and id(net.second.weight) in found[1]


def test_a_task_that_compares_no_answers_is_refused_unless_labels_alone_teach():
    class Own:
        name, loss, inputs = "own", staticmethod(TASK.loss), staticmethod(TASK.inputs)

    with pytest.raises(UsageError, match="apart"):
        distillation.objective(Net(2), Own(), ASSETS, Lessons(share=0.5))
    assert callable(distillation.objective(Net(2), Own(), ASSETS, Lessons(share=0.0)))
