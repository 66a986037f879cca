"""test_frontier: what lost too much, is slower than its origin or does not fit is refused."""

import pytest

from lichen.core.program import Program
from lichen.engine.compression import frontier
from lichen.engine.compression.frontier import Point, best_of, settled
from lichen.engine.compression.target import Profile, Target

FLOAT, INT8 = ("c.quantize", {"precision": "float32"}), ("c.quantize", {"precision": "int8"})
HALF = ("c.prune", {"speedup": 2.0})


def program(size):
    return Program.build(
        format="onnx", files={"model.onnx": bytes(size)}, runtime="none", precision="none", task="none",
        num_params=1,
    )  # fmt: skip


def point(*chain, ms, size=100, drop=0.0, high=None, **facts):
    return Point(
        chain=chain, program=program(size), is_plain=chain[-1] == FLOAT, latency_ms=ms, drop=drop, low=-1.0,
        high=drop + 0.001 if high is None else high, **facts,
    )  # fmt: skip


def refusals(*points, profile=None, max_drop=0.01):
    return [one.refused for one in settled(points, profile or Profile(), max_drop)]


def test_the_model_as_it_was_is_never_refused_for_what_few_rows_cannot_show():
    assert refusals(point(FLOAT, ms=1.0, high=0.5)) == [""]


@pytest.mark.parametrize(("drop", "high", "said"), [
    (0.009, 0.0099, ""), (0.02, 0.03, "lost 0.0200"), (0.0, 0.011, "may have lost 0.0110"),
])  # fmt: skip
def test_the_upper_end_of_a_drop_decides(drop, high, said):
    whole, small = refusals(point(FLOAT, ms=1.0), point(INT8, ms=0.5, drop=drop, high=high))
    assert (whole, small) == ("", said)


def test_nothing_slower_than_what_it_came_from_may_be_had():
    """Pruned int8 comes from int8, from pruned float and from the model as it was."""
    whole, half, small = point(FLOAT, ms=1.0), point(HALF, FLOAT, ms=0.7), point(INT8, ms=0.5)
    both = point(HALF, INT8, ms=0.6)
    assert refusals(whole, half, small, both) == ["", "", "", "slower than quantize int8, 0.5 ms"]
    assert refusals(whole, half, both) == ["", "", ""]
    assert refusals(whole, point(HALF, FLOAT, ms=1.1))[1] == "slower than quantize float32, 1 ms"
    assert refusals(whole, half, point(HALF, INT8, ms=0.8))[2].startswith("slower than prune 2, quantize")
    assert refusals(whole, point(INT8, ms=1.04)) == ["", ""], "as fast, as near as times can tell"


def test_memory_and_size_of_the_described_machine_are_hard_limits():
    points = point(FLOAT, ms=1.0, size=400), point(INT8, ms=0.5, memory_bytes=900)
    assert refusals(*points, profile=Profile(size_bytes=200)) == ["400 bytes, and 200 may be", ""]
    assert refusals(*points, profile=Profile(memory_bytes=800))[1].startswith("needs 900 bytes of memory")


def test_of_what_reaches_the_target_the_best_lost_least():
    points = settled([
        point(FLOAT, ms=1.0, size=400), point(INT8, ms=0.4, drop=0.002),
        point(HALF, FLOAT, ms=0.3, drop=0.001), point(HALF, INT8, ms=0.1, drop=0.004),
    ], Profile(), 0.01)  # fmt: skip

    def found(**limits):
        best, is_reached = best_of(points, Target(**limits))
        return best.words, is_reached

    assert found(speedup=2) == ("prune 2, quantize float32", True)
    assert found(speedup=5) == ("prune 2, quantize int8", True)
    assert found(speedup=20) == ("prune 2, quantize int8", False), "the nearest"
    assert found(latency_ms=0.45, size_bytes=100) == ("prune 2, quantize float32", True)
    assert found() == ("prune 2, quantize int8", True)
    assert found(latency_ms=2.0) == ("quantize float32", True)


def test_without_anything_that_may_be_had_the_answer_is_the_model_as_it_was_and_no():
    points = settled([point(FLOAT, ms=1.0), point(INT8, ms=0.1, drop=0.5)], Profile(), 0.01)
    assert [best_of(points, target)[1] for target in (Target(), Target(speedup=2))] == [False, False]
    assert best_of(points, Target())[0].is_exact
    full = settled(points, Profile(size_bytes=1), 0.01)
    assert best_of(full, Target())[0].refused == "100 bytes, and 1 may be"


def test_the_frontier_is_what_no_other_beats_in_everything():
    costs = [(0.0, 1.0), (0.1, 0.5), (0.1, 0.6), (0.2, 0.5), (0.1, 0.5)]
    assert frontier.front(costs) == [True, True, False, False, True]
