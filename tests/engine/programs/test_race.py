"""test_race: the faster one wins, near ties go to the plainer."""

import time

import numpy as np

from lichen.engine.programs import race


def sleeper(seconds):
    def run(images_BCHW):
        time.sleep(seconds)
        return np.zeros((len(images_BCHW), 2), np.float32)

    return run


def test_the_faster_runner_wins_whatever_its_place():
    found = race.latencies_ms(
        {"slow": sleeper(0.004), "fast": sleeper(0.001)}, np.zeros((1, 2, 2), np.uint8), limit_s=0.2
    )
    assert race.winner(found) == "fast" and found["fast"] >= 1.0
    assert race.winner(dict(reversed(found.items()))) == "fast"


def test_a_near_tie_goes_to_the_one_named_first():
    assert race.winner({"plain": 1.0, "odd": 0.97}) == "plain"
    assert race.winner({"plain": 1.0, "odd": 0.9}) == "odd"


def test_a_race_ends_in_time():
    clock = [0.0]

    def slow(images_BCHW):
        clock[0] += 0.01

    found = race.latencies_ms(
        {"a": slow, "b": slow}, np.zeros((1, 2, 2), np.uint8), limit_s=0.1, clock=lambda: clock[0]
    )
    assert found == {"a": 10.0, "b": 10.0}
    assert clock[0] < 0.15
