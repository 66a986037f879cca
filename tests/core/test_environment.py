"""What of an environment counts for a key, wherever its code stands."""

import importlib
import os
import sys

import pytest

gymnasium = pytest.importorskip("gymnasium")

from lichen.core import capture, code
from lichen.core.environment import Environment
from lichen.core.errors import UnkeyableError

WORLD = """
import gymnasium
class World(gymnasium.Env):
    reward = {reward}
"""


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A module of a world whose registration is forgotten at the end."""
    name = f"world_{tmp_path.name}".replace("-", "_")
    path = tmp_path / f"{name}.py"
    written(path, 1, 1_600_000_000)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield path
    gymnasium.registry.pop("Plain-v0", None)


def written(path, reward, at):
    path.write_text(WORLD.format(reward=reward))
    os.utime(path, (at, at))


def an_environment(address):
    return Environment.build(
        address=address, options={}, wrappers=[], observation={"shape": [2]}, action={"num": 2}
    )


def digest(address="gymnasium/Plain-v0"):
    return code.gathered(capture.behind(an_environment(address))).digest


def test_a_world_registered_under_a_plain_id_counts(world):
    gymnasium.register("Plain-v0", entry_point=f"{world.stem}:World")
    before = digest()
    assert digest() == before
    module = importlib.import_module(world.stem)
    assert digest() == before
    written(world, 2, 1_600_000_100)
    importlib.reload(module)
    assert digest() != before


def test_a_class_counts_as_its_module_and_what_it_is_registered_with_counts(world):
    module = importlib.import_module(world.stem)
    gymnasium.register("Plain-v0", entry_point=module.World, max_episode_steps=5)
    before = digest()
    gymnasium.registry.pop("Plain-v0")
    gymnasium.register("Plain-v0", entry_point=module.World, max_episode_steps=6)
    assert digest() != before


def test_a_world_that_cannot_be_followed_is_refused():
    scope = {"__name__": "__main__", "gymnasium": gymnasium}
    exec("class World(gymnasium.Env):\n    def step(self, action):\n        return action", scope)
    gymnasium.register("Plain-v0", entry_point=scope["World"])
    try:
        with pytest.raises(UnkeyableError):
            digest()
    finally:
        gymnasium.registry.pop("Plain-v0")


def test_gymnasiums_own_ids_are_its_version_alone():
    found = capture.behind(an_environment("gymnasium/CartPole-v1"))
    assert code.gathered(found) == code.gathered(["lichen.engine.decision.episodes", "gymnasium"])
    assert an_environment("gymnasium/CartPole-v1").registered() is None
