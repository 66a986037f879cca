"""test_runtimes: several threads ask one loaded program and none hears another's answer."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openvino
import pytest
from openvino import opset13

from lichen.engine.programs import graph, runtimes


def sums():
    """The sum of every channel, as OpenVINO's IR."""
    pixels = opset13.parameter([-1, 3, 8, 8], np.uint8)
    summed = opset13.reduce_sum(opset13.convert(pixels, "f32"), np.array([2, 3]), keep_dims=False)
    files = graph.plain_ir(openvino.Model([summed], [pixels], "sums"))
    return runtimes.load("openvino", {name: memoryview(data) for name, data in files.items()}, threads=1)


def test_threads_do_not_hear_each_others_answers():
    run = sums()
    batches = np.random.default_rng(0).integers(0, 256, (40, 5, 3, 8, 8), np.uint8)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, [*batches, *batches[::-1]]))
    wanted = batches.astype(np.float32).sum((3, 4))
    np.testing.assert_array_equal(found, np.concatenate([wanted, wanted[::-1]]))


def test_an_answer_stays_what_it_was_when_the_next_is_asked():
    run = sums()
    first = run(np.full((1, 3, 8, 8), 1, np.uint8))
    run(np.full((1, 3, 8, 8), 2, np.uint8))
    assert first.tolist() == [[64.0] * 3]


@pytest.mark.parametrize("is_first", [True, False])
def test_only_the_first_answer_of_a_process_is_computed_alone(monkeypatch, is_first):
    has_answered, within, most = threading.Event(), 0, 0
    if not is_first:
        has_answered.set()
    monkeypatch.setattr(runtimes, "_has_answered", has_answered)
    both = threading.Barrier(2)

    def run(images):
        nonlocal within, most
        within += 1
        most = max(most, within)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(timeout=0.2)
        within -= 1
        return images

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(runtimes.alone_at_first(run), [np.zeros(1), np.ones(1)]))
    assert most == (1 if is_first else 2)
