"""test_allocation: the least harm that saves enough time, by a planted table of times."""

import itertools
import math

import pytest
import torch

from lichen.core.errors import UsageError
from lichen.engine.compression import allocation, latency, pruning
from lichen.engine.compression.allocation import Alternative
from lichen.engine.modules import architecture

SHAPE = (3, 16, 16)


def net():
    torch.manual_seed(0)
    return architecture.build("cifar_resnet", {"depth": 14}, SHAPE, 5).eval()


class Planted(dict):
    """Times by a rule in place of a clock: a layer costs its channels, rounded up to sixteens."""

    def __missing__(self, shape):
        fan_in, width = (int(part) for part in shape.split(" ")[0].split(">"))
        return -(-fan_in // 16) * -(-width // 16) * 1.0


def time_of(module):
    return latency.total_ms(latency.shapes_of(module, SHAPE).values(), Planted())


@pytest.mark.parametrize("seed", range(5))
def test_the_knapsack_finds_what_trying_everything_finds(seed):
    draws = torch.Generator().manual_seed(seed)
    found = [
        [Alternative(8, 0.0)] + [
            Alternative(num, saved_ms, float(torch.rand((), generator=draws)))
            for num, saved_ms in ((4, 0.5), (2, 1.0), (0, 2.5))
        ] for _ in range(4)
    ]  # fmt: skip
    for wanted in (0.5, 2.0, 3.5, 8.0):
        best = min(
            sum(one.harm for one in choice) for choice in itertools.product(*found)
            if sum(one.saved_ms for one in choice) >= wanted
        )  # fmt: skip
        chosen = allocation.least_harm(found, wanted)
        assert sum(one.saved_ms for one in chosen) >= wanted - 0.01
        assert math.isclose(sum(one.harm for one in chosen), best)
    assert allocation.least_harm(found, 10.1) is None


def test_widths_that_save_no_time_are_not_tried():
    """Half of sixteen channels cost as much as all of them here; only the block as a whole is worth a try."""
    module = net()
    groups = allocation.own(pruning.rank(module, SHAPE, "group_norm"))
    tried = []
    found = allocation.alternatives(
        module, SHAPE, groups, Planted(), round_to=8, loss=lambda slim: tried.append(slim) or 0.0
    )
    widths = {
        group.layer: [one.num_kept for one in options] for group, options in zip(groups, found, strict=True)
    }
    assert widths["layer1.0.conv1"] == [16, 0]
    assert widths["layer2.1.conv1"] == [32, 16, 0]
    assert widths["layer3.0.conv1"] == [64, 48, 32, 16, 0]
    assert len(tried) == 1 + sum(len(options) - 1 for options in found)
    assert not any(group.layer.endswith("conv2") or group.layer == "conv1" for group in groups)


def test_the_blocks_that_say_nothing_go_first():
    """Two blocks whose last norm is zero are already their shortcuts."""
    module = net()
    with torch.no_grad():
        for block in (module.layer1[1], module.layer3[1]):
            block.bn2.weight.zero_()
            block.bn2.bias.zero_()
    x = torch.randn(16, *SHAPE)
    with torch.no_grad():
        before = module(x)

    def loss(slim):
        with torch.no_grad():
            return float((slim(x) - before).square().mean())

    groups = pruning.rank(module, SHAPE, "group_norm")
    kept = allocation.meeting(
        module, SHAPE, groups, Planted(), speedup=1.74, round_to=8, loss=loss,
        gain_of=lambda slim: time_of(module) / time_of(slim),
    )  # fmt: skip
    gone = allocation.gone(groups, kept)
    slim = pruning.without(module, SHAPE, gone)
    assert {"layer1.1.conv1", "layer3.1.conv1"} <= {layer for layer, num in kept.items() if num == 0}
    assert time_of(module) / time_of(slim) >= 1.74


def test_a_clock_that_disagrees_with_the_table_is_believed():
    module = net()
    groups = pruning.rank(module, SHAPE, "group_norm")

    def asked(overhead):
        return allocation.meeting(
            module, SHAPE, groups, Planted(), speedup=1.5, round_to=8, loss=lambda slim: 0.0,
            gain_of=lambda slim: (time_of(module) + overhead) / (time_of(slim) + overhead),
        )  # fmt: skip

    def left(kept):
        return time_of(pruning.without(module, SHAPE, allocation.gone(groups, kept)))

    assert left(asked(20.0)) < left(asked(0.0))
    with pytest.raises(UsageError, match="was made 1.* times faster here; speedup is 1.5"):
        asked(10_000.0)


@pytest.mark.parametrize(("gain", "speedup"), [(1.3, 1.2), (1.2, 1.2), (1.02, 1.0), (0.97, 1.0)])
def test_a_net_that_is_fast_enough_stays_whole(gain, speedup):
    """A round may have saved more than it had to, and a clock is never twice the same."""
    module, tried = net(), []
    groups = pruning.rank(module, SHAPE, "group_norm")
    kept = allocation.meeting(
        module, SHAPE, groups, Planted(), speedup=speedup, round_to=8,
        loss=lambda slim: tried.append(slim) or 0.0, gain_of=lambda slim: gain,
    )  # fmt: skip
    assert kept and allocation.gone(groups, kept) == {} and not tried


def test_a_loss_that_moves_the_figures_of_norms_moves_none_of_the_net():
    module = net()
    groups = allocation.own(pruning.rank(module, SHAPE, "group_norm"))[:1]
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}

    def loss(some):
        some.train()(torch.randn(8, *SHAPE))
        return 1.0

    allocation.alternatives(module, SHAPE, groups, Planted(), round_to=8, loss=loss)
    assert all(torch.equal(buffer, before[name]) for name, buffer in module.named_buffers())
