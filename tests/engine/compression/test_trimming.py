"""What a net does not miss goes without a trace, what it needs stays, and less of it tells as cached."""

import pytest
import torch
from languages import drawn

from lichen.core.errors import UsageError
from lichen.engine.compression import trimming
from lichen.engine.compression.trimming import Sizes
from lichen.engine.modules import architecture, backend
from lichen.engine.training import telling

OPTIONS = {"depth": 3, "width": 32, "num_heads": 4, "num_kv_heads": 2, "hidden": 48}


@pytest.fixture(scope="module")
def model():
    return drawn(max_tokens=16, **OPTIONS)


@pytest.fixture(params=["relu2", "swiglu"])
def net(request):
    return backend.module_of(drawn(max_tokens=16, mlp=request.param, **OPTIONS))


def batches(net, num=3):
    draws = torch.Generator().manual_seed(3)
    rows = torch.randint(3, net.head.out_features, (num, 17), generator=draws)
    return [(row[None, :-1], telling.told_of(row[None])) for row in rows]


def logits(net):
    with torch.no_grad():
        return torch.cat([net(x_BT) for x_BT, _ in batches(net)])


@torch.no_grad()
def test_heads_and_columns_that_add_nothing_go_without_a_trace(net):
    """Closed form: where output weights are 0, what stands before them changes nothing."""
    for layer, block in enumerate(net.blocks):
        block.attention.out.weight[:, 16 * (layer % 2) :][:, :16] = 0.0  # two heads share a group: 2 * 8
        block.mlp.down.weight[:, layer : 3 * 16 : 3] = 0.0
    with torch.enable_grad():
        found = trimming.importance(net, batches(net))
    for layer, (groups_G, columns_J) in enumerate(zip(*found, strict=True)):
        assert (groups_G == 0).tolist() == [layer % 2 == 0, layer % 2 == 1]
        assert (columns_J[layer::3] == 0).all()
    slim = trimming.narrower(net, found, Sizes(layers=3, groups=1, hidden=32))
    torch.testing.assert_close(logits(slim), logits(net), atol=1e-5, rtol=1e-5)
    attention, mlp = slim.blocks[0].attention, slim.blocks[0].mlp
    shapes = [tuple(part.weight.shape) for part in (attention.query, attention.key, mlp.down)]
    assert shapes == [(16, 32), (8, 32), (32, 32)]
    assert sum(p.numel() for p in slim.parameters()) < sum(p.numel() for p in net.parameters())


@torch.no_grad()
def test_first_order_importance_is_the_slope_of_a_gate(net):
    """Against finite differences of the loss, for one token, where absolute values change nothing."""
    (x_BT, told_BT), *_ = batches(net, 1)
    told_BT = torch.where(torch.arange(16) == 15, told_BT, 0)
    x_BT, told_BT = x_BT[:, -1:], told_BT[:, -1:]
    with torch.enable_grad():
        _, columns = trimming.importance(net, [(x_BT, told_BT)])
    weight = net.blocks[1].mlp.down.weight
    for column in (0, 7):
        held, ends = weight[:, column].clone(), []
        for step in (1e-2, -1e-2):
            weight[:, column] = held * (1 + step)
            ends.append(telling.losses(net, x_BT, told_BT).sum().item())
        weight[:, column] = held
        assert abs(ends[0] - ends[1]) / 2e-2 == pytest.approx(columns[1][column].item(), rel=0.05, abs=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("by", ["influence", "loss"])
def test_a_layer_that_does_nothing_goes_first_and_one_that_matters_is_kept(net, by):
    for part in (net.blocks[1].attention.out, net.blocks[1].mlp.down):
        part.weight.zero_()
    for part in (net.blocks[0].attention.out, net.blocks[0].mlp.down):
        part.weight.mul_(0.01)
    assert trimming.influence(net, batches(net))[1] == pytest.approx(0.0, abs=1e-5)
    assert trimming.least_missed(net, batches(net), 1, by) == [1]
    if by == "influence":
        assert 2 not in trimming.least_missed(net, batches(net), 2, by)
    slim = trimming.shorter(net, [1])
    torch.testing.assert_close(logits(slim), logits(net))
    assert len(slim.blocks) == 2 and getattr(slim, architecture.ORIGIN)[1]["depth"] == 2


def test_the_loss_without_a_layer_decides_where_it_is_asked(model):
    net = backend.module_of(model)
    without = [trimming.loss(trimming.shorter(net, [layer]), batches(net)) for layer in range(3)]
    assert trimming.least_missed(net, batches(net), 1, "loss") == [without.index(min(without))]


@torch.no_grad()
def test_a_trimmed_net_tells_the_same_with_a_cache(net):
    with torch.enable_grad():
        found = trimming.importance(net, batches(net))
    slim = trimming.narrower(net, found, Sizes(layers=3, groups=1, hidden=16))
    (x_BT, _), *_ = batches(net, 1)
    cache, parts = slim.cache(16), []
    for start, end in ((0, 5), (5, 6), (6, 16)):
        parts.append(slim(x_BT[:, start:end], cache))
    torch.testing.assert_close(torch.cat(parts, 1), slim(x_BT), atol=1e-4, rtol=1e-4)


def test_shares_leave_whole_parts_and_one_of_each():
    sizes = Sizes(layers=4, groups=4, hidden=100)
    assert sizes.without(layers=0, heads=0, hidden=0, round_to=16) == sizes
    assert sizes.without(layers=0.25, heads=0.5, hidden=0.3, round_to=8) == Sizes(
        layers=3, groups=2, hidden=72
    )
    assert sizes.without(layers=1, heads=1, hidden=1, round_to=16) == Sizes(layers=1, groups=1, hidden=16)


def test_a_net_of_another_kind_is_refused():
    with pytest.raises(UsageError, match="not of a Bag"):
        trimming.require(architecture.build("bag", {}, (16, 50), 3))
