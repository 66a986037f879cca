"""What means the same is found by its nearest neighbour, and a net can learn what that is."""

import numpy as np
import pytest
import torch

import lichen as li
from lichen.core.errors import DataError
from lichen.tasks.sentence_embedding import TASK, found


def test_ranks_are_those_of_sorted_cosines():
    draws = np.random.default_rng(0)
    outputs, targets = draws.standard_normal((60, 5)), draws.integers(0, 12, 60)
    rank, nearest, cosine = found(outputs, targets)
    unit = outputs / np.linalg.norm(outputs, axis=1, keepdims=True)
    for row in range(60):
        order = [other for other in np.argsort(-(unit @ unit[row])) if other != row]
        place = next((at for at, other in enumerate(order, 1) if targets[other] == targets[row]), None)
        assert nearest[row] == order[0]
        assert cosine[row] == pytest.approx(unit[row] @ unit[order[0]])
        assert place is None or rank[row] == place


def test_vectors_that_are_all_alike_find_nothing():
    figures, _ = TASK.score(np.ones((40, 3)), np.arange(40) // 2)
    assert figures["recall_at_10"]["value"] == 0.0


def test_pairs_that_lie_together_are_all_found():
    outputs = np.repeat(np.random.default_rng(0).standard_normal((20, 8)), 2, axis=0)
    figures, answers = TASK.score(outputs + 1e-3, np.arange(40) // 2)
    assert figures["recall_at_1"]["value"] == figures["mean_reciprocal_rank"]["value"] == 1.0
    assert answers["outcome"].numpy().all()


def test_the_loss_is_the_papers():
    """Khosla et al. 2020, equation 2, row by row; a row alone in its label has none."""
    outputs, targets = (
        torch.randn(7, 4, generator=torch.Generator().manual_seed(0)),
        torch.tensor([0, 0, 0, 1, 1, 2, 0]),
    )
    unit = outputs / outputs.norm(dim=1, keepdim=True)
    for row, loss in enumerate(TASK.loss(outputs, targets)):
        others = [other for other in range(7) if other != row]
        same = [other for other in others if targets[other] == targets[row]]
        whole = torch.logsumexp(torch.stack([unit[row] @ unit[other] / 0.05 for other in others]), 0)
        wanted = sum(whole - unit[row] @ unit[other] / 0.05 for other in same) / max(1, len(same))
        torch.testing.assert_close(loss, torch.as_tensor(wanted, dtype=torch.float32), atol=1e-4, rtol=1e-4)


def topics(num_rows=600, seed=0):
    """Texts of two words of a topic among six that any text may have."""
    draws = np.random.default_rng(seed)
    labels = draws.integers(0, 6, num_rows)
    rows = [
        " ".join(draws.permutation([*(f"t{label}x{word}" for word in draws.integers(0, 8, 2)),
                                    *draws.choice(list("mnopqrst"), 6)]))
        for label in labels
    ]  # fmt: skip
    splits = ["train"] * (num_rows - 90) + ["validation"] * 90
    return li.texts(rows, [f"topic {label}" for label in labels], splits=splits)


def test_a_net_learns_what_belongs_together():
    data = topics()
    teller = li.prepare.bpe(data, size=500)
    options = {"net": "bag", "net_options": {"width": 32, "num_pairs": 0}, "task": "sentence_embedding",
               "batch_size": 64, "optimizer": "adamw", "precision": "float32"}  # fmt: skip
    none, some = (li.pretrain.train(data, teller, epochs=10, rate=rate, **options) for rate in (1e-9, 0.01))
    assert li.evaluate(some, data).value > li.evaluate(none, data).value + 0.15


def test_a_label_of_one_row_is_refused():
    data = li.texts(["a b", "b a", "c d"], ["x", "x", "y"], splits=["train"] * 3)
    with pytest.raises(DataError, match="two rows at least(.|\n)*`y` has one"):
        TASK.check(data, "train")
