"""test_film: pictures are of one whole episode, evenly spread, whatever its length."""

import numpy as np
import pytest

from lichen.core.errors import UsageError
from lichen.data import environments
from lichen.engine.decision import film, policy


def still(name, max_steps=None):
    """An environment, and a policy that always does the same in it."""
    world = environments.look_at(name, {}, [], max_steps)
    return world, policy.model_of(policy.net("mlp", {"width": 4}, world, 2, seed=0), world)


@pytest.mark.parametrize("name", ["worlds:Drawn", "worlds:Long"])
def test_pictures_are_spread_over_the_episode_from_its_beginning_to_its_end(name):
    world, model = still(name)
    found = film.of(model, world, "validation", 4)
    assert found.steps[0] == 0 and 4 <= len(found.pictures) <= 8
    apart = np.diff(found.steps)
    assert found.length - found.steps[-1] < apart.max() or found.steps[-1] == found.length
    assert len(set(apart[:-1])) <= 1
    shades = [int(picture.max()) for picture in found.pictures]
    assert shades == found.steps  # each shows the step that it was taken after


def test_what_draws_nothing_is_said():
    world, model = still("worlds:Bandit")
    with pytest.raises(UsageError, match="draws no pictures"):
        film.of(model, world, "validation", 4)


def test_large_pictures_are_averaged_down():
    world, model = still("worlds:Drawn")
    height, width = film.of(model, world, "validation", 4).pictures[0].shape[1:]
    assert max(height, width) <= film.SIDE and abs(height * 2 - width) <= 1
