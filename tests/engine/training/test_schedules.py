"""test_schedules: the rate at a step is the closed form."""

import math

import pytest

from lichen.core.errors import OptionError
from lichen.engine.training import schedules


def at(name, step, warmup=0):
    return schedules.factor(name, step, total=100, warmup=warmup)


def test_closed_forms():
    assert at("constant", 73) == 1.0
    assert at("cosine", 50) == pytest.approx(0.5)
    assert at("cosine", 25) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert at("linear", 25) == 0.75
    assert (at("step", 49), at("step", 50), at("step", 75)) == (1.0, 0.1, pytest.approx(0.01))
    assert (at("wsd", 59), at("wsd", 60), at("wsd", 80)) == (1.0, 1.0, pytest.approx(0.5))
    assert schedules.factor("wsd", 80, total=100, cooldown=0.25) == pytest.approx(0.8)
    assert schedules.factor("wsd", 99, total=100, cooldown=0.0) == 1.0
    assert (at("triangular", 10), at("triangular", 20), at("triangular", 60)) == (0.5, 1.0, 0.5)


@pytest.mark.parametrize("name", sorted(schedules.SHAPES))
def test_warmup_rises_to_the_peak_and_no_step_is_wasted(name):
    rise = [at(name, step, warmup=4) for step in range(4)]
    assert rise == [0.2, 0.4, 0.6, 0.8]
    assert all(0 <= at(name, step, warmup=4) <= 1 for step in range(100))


def test_an_unknown_schedule_is_refused_with_the_nearest():
    with pytest.raises(OptionError, match="cosine"):
        at("cosin", 0)
