"""A training that is killed after any batch goes on there, in another process, to the same bytes."""

import pytest
from fire import harness

OFTEN = {"checkpoint_every_s": 0.0}


def undisturbed(warm, folder, recipe):
    whole = warm(harness.lay(folder, recipe), **OFTEN)
    assert whole.code == 0, whole.said
    return whole


def gone_on(warm, folder, recipe, whole, num_batches, **order):
    """What is wrong with the life that goes on after so many batches of the first process."""
    killed = warm(harness.lay(folder, recipe), die_after_batches=num_batches, **OFTEN)
    assert killed.code == -9, killed.said
    again = warm(folder, **OFTEN, **order)
    if again.finished != whole.finished:
        yield f"after {num_batches} batches: other digests"
    if again.told("batches") != whole.told("batches") - num_batches:
        yield f"after {num_batches} batches: trained {again.told('batches')} of {whole.told('batches')} again"


@pytest.mark.parametrize("recipe", ["digits", pytest.param("pictures", marks=pytest.mark.slow)])
def test_a_training_goes_on_where_it_was_killed(warm, tmp_path, recipe, every=19):
    whole = undisturbed(warm, tmp_path / "whole", recipe)
    assert whole.told("batches") >= 20
    for number in range(1, whole.told("batches") + 1, every):
        assert list(gone_on(warm, tmp_path / str(number), recipe, whole, number)) == []


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["digits", "pictures"])
def test_a_training_goes_on_after_every_batch_and_every_epoch(warm, tmp_path, recipe):
    test_a_training_goes_on_where_it_was_killed(warm, tmp_path, recipe, every=1 if harness.IS_FULL else 4)


@pytest.mark.slow
@pytest.mark.parametrize("defect", ["no_momentum", "no_checkpoint"])
def test_what_is_not_put_back_is_seen(warm, tmp_path, defect):
    whole = undisturbed(warm, tmp_path / "whole", "digits")
    assert list(gone_on(warm, tmp_path / "killed", "digits", whole, 3, defects=[defect])) != []
