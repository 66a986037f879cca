"""Operations drawn unevenly leave the expected loss and its gradient what they were: rows are weighed."""

import pytest
import torch
from torch import nn

import lichen as li
from lichen.core.errors import OptionError, UsageError
from lichen.core.session import Session, using
from lichen.data import augment, batches, favour, wide

FAVOUR = {"rotate": 4.5, "equalize": 0.5}
NUM_WIDE = len(wide.NAMES)
GRID = 238
"""Places in [0, 1) that stand for all draws: a multiple of 14 operations and of 34 halves of a favour."""


def losses(policy, op):
    """Over every draw that says which operation: what one picture counts, its loss, and the net."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8, generator=generator)
    places = (torch.arange(GRID) + 0.5) / GRID
    drawn = torch.cartesian_prod(*[places] * len(augment.DRAWN[op])).view(-1, len(augment.DRAWN[op]))
    uniforms = torch.full((len(drawn), len(augment.numbers(policy))), 0.7)
    uniforms[:, [augment.DRAWS[op].index(number) for number in augment.DRAWN[op]]] = drawn
    images = augment.apply(policy, image.expand(len(drawn), 3, 8, 8), uniforms)
    torch.manual_seed(0)
    net, targets = nn.Linear(192, 4), torch.zeros(len(drawn), dtype=torch.int64)
    loss = nn.functional.cross_entropy(net(images.flatten(1) / 255.0), targets, reduction="none")
    return augment.weights(policy, uniforms), loss, net


@pytest.mark.parametrize("op", augment.DRAWN)
def test_the_expected_loss_and_gradient_stay_and_would_not_without_weights(op):
    nothing, loss, net = losses(augment.policy_of([{op: 0.8}]), op)
    assert nothing is None
    wanted = torch.autograd.grad(loss.mean(), net.weight)[0]
    weights, uneven, net = losses(augment.policy_of([{op: 0.8}], FAVOUR), op)
    unweighted = torch.autograd.grad(uneven.mean(), net.weight, retain_graph=True)[0]
    weighted = torch.autograd.grad((weights * uneven).mean(), net.weight)[0]
    assert (weights * uneven).mean().item() == pytest.approx(loss.mean().item(), rel=1e-5)
    torch.testing.assert_close(weighted, wanted, atol=1e-5, rtol=1e-4)
    assert abs(uneven.mean() - loss.mean()) > 0.01 and (unweighted - wanted).abs().max() > 0.01


def test_operations_are_drawn_as_often_as_told_and_weights_undo_it_exactly():
    uniforms = (torch.arange(200_000) + 0.5) / 200_000
    counts = torch.bincount(favour.chosen(uniforms, FAVOUR), minlength=NUM_WIDE) / len(uniforms)
    probabilities = favour.probabilities(FAVOUR)
    assert torch.allclose(counts.double(), probabilities, atol=1e-5)
    times = NUM_WIDE - len(FAVOUR) + sum(FAVOUR.values())
    assert probabilities[wide.NAMES.index("rotate")] == pytest.approx(4.5 / times)
    weights = favour.weights(uniforms, FAVOUR)
    for name in wide.NAMES:
        is_it = favour.chosen(uniforms, FAVOUR) == wide.NAMES.index(name)
        assert weights[is_it].sum().item() / len(uniforms) == pytest.approx(1 / NUM_WIDE, rel=1e-3)
    assert torch.equal(favour.chosen(uniforms, None), (uniforms * NUM_WIDE).long())


def made(policy):
    images = torch.randint(
        0, 256, (40, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    return batches.Batches(images=images, targets=torch.arange(40) % 3, ids=torch.arange(40) * 7919,
                           batch_size=16, policy=policy, num_classes=3)  # fmt: skip


def test_batches_carry_the_weights_and_mixed_rows_those_of_both():
    alone = next(iter(made(augment.policy_of([{"trivialaugment": 1.0}], FAVOUR)).epoch(0)))
    mixed = augment.policy_of([{"trivialaugment": 1.0}, {"mixup": 0.4}], FAVOUR)
    both = next(iter(made(mixed).epoch(0)))
    assert alone.weights.unique().numel() > 1
    assert torch.equal(both.weights, alone.weights * alone.weights.flip(0))
    assert next(iter(made(augment.policy_of([{"flip": 0.5}])).epoch(0))).weights is None


def test_training_refuses_a_loss_that_hides_its_rows():
    with using(Session(store=None)):
        data = li.augment.policy(li.load("digits"), ops=["trivialaugment"], favour=FAVOUR)
        with pytest.raises(UsageError, match="per row"):
            li.pretrain.train(data, net="mlp", epochs=1, loss=nn.functional.cross_entropy)


@pytest.mark.parametrize("wrong, said", [
    ({"rotat": 2}, "did you mean `rotate`"), ({"rotate": 0}, "above 0"), ({"rotate": True}, "above 0"),
    ({"rotate": float("inf")}, "above 0"), ({"rotate": "much"}, "above 0"),
])  # fmt: skip
def test_what_cannot_be_weighted_back_is_refused(wrong, said):
    with pytest.raises(OptionError, match=said):
        augment.policy_of([{"trivialaugment": 1.0}], wrong)


def test_favour_needs_an_operation_that_draws():
    with pytest.raises(OptionError, match="needs trivialaugment or randaugment"):
        augment.policy_of([{"flip": 0.5}], FAVOUR)
