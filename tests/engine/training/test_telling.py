"""Losses of told tokens are those of all logits, whatever is computed at a time; prompts have no part."""

import pytest
import torch
from languages import drawn
from torch import nn
from torch.nn import functional

from lichen.core.errors import UsageError
from lichen.data.tokenizer import PAD
from lichen.engine.task import task_of
from lichen.engine.training import telling

TASK = task_of("language_modelling")


def rows(num=5, length=20, seed=0, size=260):
    """What is read and what is told, several conversations to a row, each with prompts and answers."""
    generator = torch.Generator().manual_seed(seed)
    read = torch.randint(4, size, (num, length), generator=generator, dtype=torch.int32)
    is_told = torch.rand(num, length, generator=generator) < 0.4
    told = torch.where(is_told, torch.roll(read, -1, 1), PAD)
    read[:, [0, length // 2]] = ~read[:, [0, length // 2]]
    return torch.stack([read, told], 1)


def net(**options):
    return drawn(max_tokens=20, **options).torch()


def dense(module, made):
    logits, told = module(made[:, 0]), made[:, 1].long()
    return functional.cross_entropy(logits.flatten(0, 1), told.flatten(), ignore_index=PAD)


@pytest.mark.parametrize("is_tied", [False, True])
@pytest.mark.parametrize(
    ("logits", "tokens"), [(1 << 22, 1024), (260 * 3, 1024), (260 * 3, 40), (1 << 22, 20)]
)
def test_loss_and_gradients_are_those_of_all_logits(monkeypatch, logits, tokens, is_tied):
    monkeypatch.setattr(telling, "MOST_LOGITS", logits)
    monkeypatch.setattr(telling, "MOST_TOKENS", tokens)
    module, made = net(is_tied=is_tied), rows()
    wanted = dense(module, made)
    gradients = torch.autograd.grad(wanted, list(module.parameters()))
    found = TASK.objective(module, made, {})
    found.backward()
    assert found.item() == pytest.approx(wanted.item(), rel=1e-6)
    for parameter, gradient in zip(module.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


class Free(nn.Module):
    """A net whose logits are numbers of its own, so that their gradients can be looked at."""

    def __init__(self, made, size=260):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        shape = made.shape[0], made.shape[2], size
        self.logits = nn.Parameter(torch.randn(shape, generator=generator))
        self.head = nn.Identity()
        self.head.out_features = size
        self.begun = 0

    def features(self, x_BT):
        part = self.logits[self.begun : self.begun + len(x_BT)]
        self.begun += len(x_BT)
        return part


@pytest.mark.parametrize("tokens", [1024, 20])
def test_the_gradient_of_what_is_not_told_is_exactly_nothing(monkeypatch, tokens):
    """Of several turns, too: every prompt between answers, and what fills a row."""
    monkeypatch.setattr(telling, "MOST_TOKENS", tokens)
    made = rows()
    module = Free(made)
    TASK.objective(module, made, {}).backward()
    is_told = made[:, 1] != PAD
    assert module.logits.grad[~is_told].abs().max() == 0.0
    count = is_told.sum()
    told = functional.one_hot(made[:, 1][is_told].long(), 260)
    closed = (torch.softmax(module.logits[is_told], -1) - told) / count
    torch.testing.assert_close(module.logits.grad[is_told], closed)


def test_prompts_have_no_say_and_answers_have_all():
    """The loss of a token that is not told may be anything, the objective stays; of a told one it moves."""
    made = rows()
    module = Free(made)
    before = TASK.objective(module, made, {}).item()
    is_told = made[:, 1] != PAD
    with torch.no_grad():
        module.logits[~is_told] += torch.randn_like(module.logits[~is_told]) * 100
    module.begun = 0
    assert TASK.objective(module, made, {}).item() == before
    with torch.no_grad():
        module.logits[is_told] += torch.randn_like(module.logits[is_told])
    module.begun = 0
    assert TASK.objective(module, made, {}).item() != before


def test_packed_and_lone_conversations_have_the_same_losses():
    module, made = net(), rows()
    whole = TASK.told(module, made, {})
    half = made.shape[-1] // 2
    alone = torch.cat([TASK.told(module, made[..., :half], {}), TASK.told(module, made[..., half:], {})], 1)
    torch.testing.assert_close(whole, alone, rtol=1e-4, atol=1e-4)
    unmarked = made.clone()
    unmarked[:, 0, half] = ~unmarked[:, 0, half]
    assert (TASK.told(module, unmarked, {}) - whole).abs().max() > 1e-2


def test_documents_too_large_for_all_logits_lose_the_same(monkeypatch):
    module = net()
    made = torch.randint(1, 260, (4, 21), dtype=torch.int32)
    wanted = TASK.objective(module, made, {}).item()
    monkeypatch.setattr(telling, "MOST_LOGITS", 260 * 7)
    assert telling.is_large(module, made)
    assert TASK.objective(module, made, {}).item() == pytest.approx(wanted, rel=1e-6)
    kept = TASK.kept(module(made[:, :-1]), made, {})
    torch.testing.assert_close(TASK.told(module, made, {}), kept)


def test_frozen_parts_get_no_gradient_and_unused_ones_none():
    module = net()
    module.requires_grad_(False)
    module.norm.requires_grad_(True)
    module.more = nn.Parameter(torch.zeros(1))
    TASK.objective(module, rows(60), {}).backward()
    assert {name for name, own in module.named_parameters() if own.grad is not None} == {"norm.weight"}


def test_a_net_for_whole_texts_is_refused():
    class Whole(nn.Module):
        head = nn.Linear(4, 2)

        def features(self, x_BT):
            return torch.zeros(len(x_BT), 4)

    with pytest.raises(UsageError, match="answers for whole texts"):
        TASK.objective(Whole(), rows(), {})
