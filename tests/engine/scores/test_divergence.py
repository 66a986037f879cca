"""divergence: sums over what can happen, in the words of probabilities; least where both say the same."""

import itertools

import pytest
import torch

from lichen.core.protocols import Taught
from lichen.engine.scores import divergence
from lichen.engine.task import task_of
from lichen.tasks.ordinal_regression import _answers

TASKS = ["image_classification", "multi_label_classification", "ordinal_regression", "sentence_embedding",
         "tabular_classification", "text_classification", "control"]  # fmt: skip


def pair(outputs, seed=0):
    draws = torch.Generator().manual_seed(seed)
    return (torch.randn(7, outputs, generator=draws, dtype=torch.float64) for _ in range(2))


def kl(taught_BE, said_BE):
    return (taught_BE * (taught_BE / said_BE).log()).sum(-1)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_marks_are_independent(temperature):
    said, taught = pair(3)

    def joint(z):
        p = torch.sigmoid(z / temperature)
        events = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)), dtype=torch.float64)
        return torch.stack([(event * p + (1 - event) * (1 - p)).prod(-1) for event in events], -1)

    found = divergence.of_marks(said, taught, temperature)
    torch.testing.assert_close(
        found.double(), temperature**2 * kl(joint(taught), joint(said)), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_ranks_diverge_as_their_labels_do(temperature):
    said, taught = pair(4)
    p_said, p_taught = (torch.from_numpy(_answers((z / temperature).numpy())[1]) for z in (said, taught))
    found = divergence.of_ranks(said, taught, temperature)
    torch.testing.assert_close(found.double(), temperature**2 * kl(p_taught, p_said), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("assets", [{}, {"action_low": [-1.0, -1.0]}])
def test_a_student_comes_to_its_teacher_by_what_they_are_apart(name, assets):
    task = task_of(name)
    assert isinstance(task, Taught)
    said, taught = (z.float() for z in pair(2, seed=1))
    said.requires_grad_()
    optimizer = torch.optim.Adam([said], lr=0.05)
    for _ in range(800):
        optimizer.zero_grad()
        apart = task.apart(said, taught, assets, 1.0)
        apart.sum().backward()
        optimizer.step()
    assert apart.shape == (7,) and apart.max() + 1e-6 >= 0 and apart.max() < 1e-3
    shifted = task.apart(taught - 2.0, taught, assets, 1.0)
    is_blind = (name.endswith("classification") and name[:5] != "multi") or (name == "control" and not assets)
    assert (shifted.abs().max() < 1e-5) == is_blind
