"""What a student is told at every token, by the formula written out; other tokens are refused by hash."""

import pytest
import torch
from languages import drawn
from torch.nn import functional

from lichen.core.errors import UsageError
from lichen.data.tokenizer import PAD
from lichen.engine.compression import dictation
from lichen.engine.modules import backend
from lichen.engine.task import task_of
from lichen.engine.training import telling

TASK = task_of("language_modelling")


@pytest.fixture(scope="module")
def nets():
    return drawn(max_tokens=12), drawn(max_tokens=12, seed=1, depth=1)


def rows(size, seed=0):
    found = torch.randint(3, size, (3, 13), generator=torch.Generator().manual_seed(seed))
    found[0, 9:] = PAD
    return found


@pytest.mark.parametrize("most_logits", [1 << 22, 600])
def test_the_loss_is_that_of_the_formula_and_so_is_its_gradient(nets, most_logits, monkeypatch):
    monkeypatch.setattr(telling, "MOST_LOGITS", most_logits)
    monkeypatch.setattr(telling, "MOST_TOKENS", 12)
    teacher, student = (backend.module_of(model) for model in nets)
    rows_BT = rows(student.head.out_features)
    loss = dictation.objective(teacher, TASK, nets[1].assets, share=0.7, temperature=2.0)
    found = loss(student, rows_BT, None)
    found.backward()
    gradient = student.blocks[0].mlp.up.weight.grad.clone()
    student.zero_grad()
    told_Q = rows_BT[:, 1:][rows_BT[:, 1:] != PAD]
    said_QV, taught_QV = (net(rows_BT[:, :-1])[rows_BT[:, 1:] != PAD] for net in (student, teacher))
    t, s = torch.softmax(taught_QV / 2, -1), torch.softmax(said_QV / 2, -1)
    wanted = 0.3 * functional.cross_entropy(said_QV, told_Q) + 0.7 * 4 * (t * (t / s).log()).sum(-1).mean()
    wanted.backward()
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(gradient, student.blocks[0].mlp.up.weight.grad, atol=1e-6, rtol=1e-4)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_who_says_what_the_teacher_says_has_nothing_to_learn(nets):
    teacher, student = (backend.module_of(nets[0]) for _ in range(2))
    loss = dictation.objective(teacher, TASK, nets[0].assets, share=1.0, temperature=1.0)
    assert loss(student, rows(teacher.head.out_features), None).item() == pytest.approx(0.0, abs=1e-6)


def test_another_tokenizer_is_refused_by_its_hash(nets):
    dictation.require_same_words(nets[1], nets[0])
    with pytest.raises(UsageError, match="one tokenizer; its own is [0-9a-f]{10}, the teacher's"):
        dictation.require_same_words(drawn(size=262), nets[0])
