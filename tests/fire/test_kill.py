"""A process that is killed at any instruction loses no finished step and leaves a store that is whole."""

import random
import shutil
import time

import pytest
from fire import harness

EVERY = 61
"""Of the systematic points, those that every `make test` goes through; LICHEN_FULL=1 goes through all."""


def undisturbed(warm, folder, recipe, **order):
    whole = warm(harness.lay(folder, recipe), **order)
    assert whole.code == 0, whole.said
    return whole


def killed_at(warm, tmp_path, whole, at, how, recipe="chain", **order):
    folder = harness.lay(tmp_path / f"{how}{at}", recipe)
    before = warm(folder, at=at, how=how, **order)
    assert before.code in (0, -9), before.said
    return [f"{how} {at}: {found}" for found in harness.violations(warm, folder, before, whole)]


def points(whole, every, seed=0):
    """Every so-many-th operation, from a drawn start, and both sides of it."""
    start = random.Random(seed).randrange(every)
    chosen = range(1 + start, whole.told("done") + 1, every)
    return [(at, how) for at in chosen for how in ("before", "middle")]


def test_every_so_many_operations_the_process_may_be_killed(warm, tmp_path):
    whole = undisturbed(warm, tmp_path / "whole", "chain")
    assert whole.told("done") > 60
    found = [one for at, how in points(whole, EVERY) for one in killed_at(warm, tmp_path, whole, at, how)]
    assert found == []


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["chain", "digits"])
def test_at_any_operation_the_process_may_be_killed(warm, tmp_path, recipe):
    often = {"checkpoint_every_s": 0.0} if recipe == "digits" else {}
    whole = undisturbed(warm, tmp_path / "whole", recipe)
    long = undisturbed(warm, tmp_path / "long", recipe, **often)
    every = max(1, long.told("done") // (10**6 if harness.IS_FULL else 16))
    found = [one for at, how in points(long, every)
             for one in killed_at(warm, tmp_path, whole, at, how, recipe, **often)]  # fmt: skip
    assert found == []


@pytest.mark.slow
@pytest.mark.parametrize("defect", ["in_place", "blobs_after_records", "no_transaction"])
def test_a_wrong_order_of_operations_is_seen(warm, tmp_path, defect):
    whole = undisturbed(warm, tmp_path / "whole", "chain")
    tried = points(whole, 5)
    random.Random(1).shuffle(tried)
    for at, how in tried:
        if killed_at(warm, tmp_path, whole, at, how, defects=[defect]):
            return
    pytest.fail(f"{defect} was not seen")


@pytest.mark.parametrize("recipe", ["chain", "digits", "pictures"])
def test_killed_at_random_and_gone_on_with(warm, tmp_path, recipe, num_kills=2):
    start = time.perf_counter()
    whole = undisturbed(warm, tmp_path / "whole", recipe)
    span_s = time.perf_counter() - start
    draws = random.Random(recipe)
    for number in range(num_kills):
        folder = harness.lay(tmp_path / str(number), recipe)
        order = {"kill_after_s": draws.uniform(0.0, span_s), "checkpoint_every_s": 0.0}
        before = warm(folder, **order)
        assert harness.violations(warm, folder, before, whole) == [], order


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["chain", "digits", "pictures"])
def test_many_random_kills(warm, tmp_path, recipe):
    test_killed_at_random_and_gone_on_with(warm, tmp_path, recipe, num_kills=67 if harness.IS_FULL else 8)


@pytest.mark.slow
def test_a_migration_that_is_killed_leaves_the_old_or_the_new_format(warm, tmp_path):
    """And the old one is brought up to date by whoever comes next."""
    old = warm(harness.lay(tmp_path / "old", "chain"), defects=["old_format"])
    assert old.code == 0, old.said
    whole = undisturbed(warm, tmp_path / "whole", "chain")
    migrated = warm(_copied(tmp_path, "migrated"), "opening")
    assert migrated.code == 0
    for at in range(1, migrated.told("done") + 1):
        folder = _copied(tmp_path, f"at{at}")
        met = warm(folder, "opening", at=at, how=("before", "middle")[at % 2])
        assert met.code in (0, -9)
        assert harness.violations(warm, folder, whole, whole) == [], at


def _copied(tmp_path, name):
    shutil.copytree(tmp_path / "old", tmp_path / name)
    return tmp_path / name
