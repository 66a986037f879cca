"""A prompted net scores labels by what its body says of them, whatever stands beside a row."""

import numpy as np
import pytest
import torch

from lichen.engine.language import demonstrations
from lichen.engine.modules import architecture
from lichen.nets import prompted

V, ROOM = 40, 12
LABELS = [[5, 6], [7], [8, 9, 3]]
PREFIX, SUFFIX = [1, 4, 4, 10], [9, 8]
GPT = {"in_shape": [64, V], "depth": 2, "width": 16, "num_heads": 2, "num_kv_heads": 1}


def made(**options):
    torch.manual_seed(0)
    given = {"body_options": GPT, "prefix": PREFIX, "suffix": SUFFIX, "labels": LABELS, **options}
    net = architecture.build("prompted", given, (ROOM, V), 3)
    with torch.no_grad():
        for parameter in net.body.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return net.eval()


def texts(num=7, seed=1):
    draws = torch.Generator().manual_seed(seed)
    x_BT = torch.randint(3, V, (num, ROOM), generator=draws, dtype=torch.int32)
    for row, length in enumerate([5, 0, ROOM, 5, 1, 9, 3][:num]):
        x_BT[row, length:] = 0
    return x_BT


def plainly(net, row, before=PREFIX, labels=LABELS):
    """The score of each label by reading everything that stands before it, for itself."""
    scores, text = [], [int(token) for token in row if token]
    for label in labels:
        read = torch.tensor([[*before, *text, *SUFFIX, *label]], dtype=torch.int32)
        told_TV = torch.log_softmax(net.body(read)[0], -1)
        first = read.shape[1] - len(label) - 1
        scores.append(float(sum(told_TV[first + step, token] for step, token in enumerate(label))))
    return scores


@torch.no_grad()
def test_a_label_scores_the_log_probabilities_of_its_tokens():
    net, x_BT = made(), texts()
    wanted = torch.tensor([plainly(net, row) for row in x_BT])
    torch.testing.assert_close(net.features(x_BT), wanted, atol=1e-5, rtol=0)
    by_length = made(is_mean=True).features(x_BT)
    torch.testing.assert_close(by_length, wanted / torch.tensor([2, 1, 3]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@torch.no_grad()
def test_scores_do_not_depend_on_the_batch(size, monkeypatch):
    net, x_BT = made(), texts()
    wanted = net(x_BT)
    order = torch.tensor([3, 6, 0, 1, 5, 2, 4])
    found = torch.cat([net(part) for part in x_BT[order].split(size)])
    torch.testing.assert_close(found, wanted[order], atol=1e-5, rtol=0)
    monkeypatch.setattr(prompted, "AT_ONCE", 30)
    torch.testing.assert_close(net(x_BT), wanted, atol=1e-5, rtol=0)


@torch.no_grad()
def test_what_all_rows_begin_with_is_read_once_and_logits_are_made_for_labels_alone():
    net, read, told = made(), [], []
    net.body.tokens.register_forward_hook(lambda _, given, out: read.append(tuple(given[0].shape)))
    net.body.head.register_forward_hook(lambda _, given, out: told.append(tuple(out.shape)))
    net(texts(2))
    net(texts(3))
    new = ROOM + len(SUFFIX) + 3
    assert read == [(1, len(PREFIX)), (2, 5 + len(SUFFIX) + 3), (3, new)]
    assert told[1:] == [(2, 1 + 3, V), (3, 1 + 3, V)]
    net.body.head.weight.mul_(1.1)
    net(texts(1))
    assert read.count((1, len(PREFIX))) == 2


def offered(nearness, **options):
    net = made(num_near=2, nearness=nearness, prefix=PREFIX[:2], **options)
    shown = [[11, 12, 13], [14, 15], [16, 17, 18, 19], [20, 11], [12, 12, 30]]
    blocks = [[*text, *SUFFIX, 7, 10] for text in shown]
    demonstrations.offer(net, [np.array(text, np.int32) for text in shown], blocks, V)
    return net, shown, blocks


@torch.no_grad()
def test_a_row_is_shown_the_demonstrations_nearest_to_it_and_the_nearest_last():
    net, _, blocks = offered("tfidf")
    for row, near in {(11, 12, 13, 25): [4, 0], (16, 20): [2, 3], (11, 12, 13): [3, 4]}.items():
        x_BT = torch.tensor([row], dtype=torch.int32)
        before = [*PREFIX[:2], *blocks[near[0]], *blocks[near[1]]]
        wanted = torch.tensor([plainly(net, row, before)])
        torch.testing.assert_close(net.features(x_BT), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("nearness", ["tfidf", "embedding"])
@torch.no_grad()
def test_a_row_is_never_shown_itself_however_few_demonstrations_there_are(nearness):
    net, shown, blocks = offered(nearness)
    net.num_near = len(shown)
    (before_P,) = net._before(torch.tensor([shown[0]], dtype=torch.int32)).tolist()
    assert len(before_P) == len(net.prefix_P) + sum(map(len, blocks[1:]))
    (whole_P,) = net._before(torch.tensor([[33, 34]], dtype=torch.int32)).tolist()
    assert len(whole_P) == len(net.prefix_P) + sum(map(len, blocks))


@pytest.mark.parametrize("nearness", ["tfidf", "embedding"])
@torch.no_grad()
def test_rows_with_demonstrations_of_their_own_do_not_depend_on_the_batch(nearness):
    net, *_ = offered(nearness, neutral=[[33, 34], []])
    x_BT = texts()
    alone = torch.cat([net(row[None]) for row in x_BT])
    torch.testing.assert_close(net(x_BT), alone, atol=1e-5, rtol=0)


@torch.no_grad()
def test_nearness_by_tokens_is_the_cosine_of_counts_times_smooth_idf():
    net, shown, _ = offered("tfidf")
    x_BT = texts()
    counts_NV, counts_BV = (
        np.stack([np.bincount(row, minlength=V) for row in rows]) * (np.arange(V) > 0)
        for rows in (shown, x_BT.tolist())
    )
    idf_V = np.log((1 + len(shown)) / (1 + (counts_NV > 0).sum(0))) + 1
    left_BV, right_NV = counts_BV * idf_V, counts_NV * idf_V
    norms_BN = np.linalg.norm(left_BV, axis=1)[:, None] * np.linalg.norm(right_NV, axis=1)
    wanted_BN = left_BV @ right_NV.T / np.maximum(norms_BN, 1e-9)
    np.testing.assert_allclose(net._nearness(x_BT), wanted_BN, atol=1e-6)


@torch.no_grad()
def test_what_is_said_of_nothing_is_taken_off_with_each_rows_demonstrations():
    net, *_ = offered("tfidf", neutral=[[33, 34]])
    bare, *_ = offered("tfidf")
    row = torch.tensor([[11, 12, 13, 25]], dtype=torch.int32)
    before_BP = bare._before(row)[0].tolist()
    blank = torch.log_softmax(torch.tensor([plainly(bare, [33, 34], before_BP)]), -1)
    torch.testing.assert_close(net.features(row), bare.features(row) - blank, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_a_graph_of_it_answers_as_it_does():
    net, x_BT = made(), texts(4)
    with torch.no_grad():
        wanted = net(x_BT)
        graph = torch.export.export(net, (x_BT[:2],), dynamic_shapes=({0: torch.export.Dim("rows", min=1)},))
        torch.testing.assert_close(graph.module()(x_BT), wanted, atol=1e-5, rtol=0)
