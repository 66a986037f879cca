"""test_environment: an environment is a value, and a life that begins with one is a recipe."""

import gymnasium
import pytest

import lichen as li
from lichen.core import code, environment, find, flow, key, life, recipefile, session, step, valuefile
from lichen.core.errors import NotFoundError, OptionError, RecipeError, UsageError

LIFE = """
lichen: 1
environment: {id: worlds:Bandit, max_steps: 3, wrappers: [{ClipReward: {max_reward: 0.5}}]}
steps:
  - decide.reinforce: {num_steps: 64, num_envs: 2, horizon: 16, judge_episodes: 0}
  - decide.record: {num_steps: 100, duplicates: keep}
"""


@pytest.fixture(autouse=True)
def here(tmp_path):
    with session.opened(tmp_path / ".lichen") as opened:
        yield opened


def test_wrappers_and_options_make_another_environment_and_stand_in_the_lineage():
    plain = li.environment("CartPole-v1")
    assert plain == li.environment("gymnasium/CartPole-v1") != li.environment("CartPole-v1", max_steps=100)
    wrapped = li.environment("worlds:Corridor", max_steps=2, wrappers=[{"ClipReward": {"max_reward": 1.0}}])
    assert [one["name"] for one in wrapped.wrappers] == ["TimeLimit", "ClipReward"]
    assert wrapped.made.call.options["wrappers"] == [{"ClipReward": {"max_reward": 1.0}}]
    assert plain.action == {"num": 2} and plain.observation == {"shape": [4], "dtype": "float32"}


def test_a_life_in_an_environment_is_run_scored_in_it_and_written_back(here):
    recipe = recipefile.parse(LIFE, "lamps.yaml")
    flow.check(recipe)
    chain = life.run(recipe, here)
    world = chain.current["environment"]
    assert chain.ground() is world
    assert li.evaluate(chain.current["model"], world, episodes=8).num_rows == 8
    written = recipefile.dump(life.of(chain.current["data"], "lamps"))
    assert "environment:" in written and "prepare.environment" not in written
    again = life.run(recipefile.parse(written, "again.yaml"), here)
    assert again.current["data"] == chain.current["data"]
    assert here.counts["computed"] == 4


def test_code_of_the_users_own_environment_is_part_of_the_key(here):
    one = step.by_address("decide.ppo")
    modules = {}
    for name in ("worlds:Bandit", "CartPole-v1"):
        values = {"environment": li.environment(name)}
        made = key.make(one.signature, None, values, one.signature.check({}), here)
        modules[name] = made.code
    assert "worlds" in modules["worlds:Bandit"].modules
    assert "worlds" not in modules["CartPole-v1"].modules
    assert "gymnasium" in modules["CartPole-v1"].packages


@pytest.mark.parametrize(
    ("address", "package"),
    [("gymnasium/LunarLander-v3", "Box2D"), ("gymnasium/Reacher-v5", "mujoco"),
     ("gymnasium/minigrid:MiniGrid-FourRooms-v0", "minigrid"), ("lichen.data.boards:Board", "pettingzoo"),
     ("lichen.data.arcade:Arcade", "ale_py")],
)  # fmt: skip
def test_the_package_that_moves_a_world_is_part_of_the_key_by_its_version(address, package):
    if find.file_of(package) is None:
        pytest.skip(f"{package} is not installed")
    world = environment.Environment.build(address=address, options={}, wrappers=[], observation={}, action={})
    assert package in world.modules() and list(code.closure([package]).packages) == [package]


def test_every_world_of_gymnasium_that_another_package_moves_is_known():
    for name, spec in gymnasium.registry.items():
        kind = str(spec.entry_point)
        wanted = {"box2d": "Box2D", "mujoco": "mujoco"}.get(
            kind.partition("gymnasium.envs.")[2].split(".")[0]
        )
        assert environment.package_of(f"gymnasium/{name}") == wanted or "minigrid" in kind or "_error" in kind


def test_a_value_file_keeps_an_environment(tmp_path):
    world = li.environment("CartPole-v1", options={"sutton_barto_reward": True})
    assert valuefile.read(world.save(tmp_path / "pole.lichen")) == world


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("environment: CartPol-v1", NotFoundError, "CartPole-v1"),
        ("environment: 7", RecipeError, "an id or a mapping"),
        ("environment: {id: CartPole-v1, step: 3}", RecipeError, "unknown option `step`"),
        ("environment: {max_steps: 3}", RecipeError, "needs the option `id`"),
        ("environment: {id: CartPole-v1, wrappers: [{}]}", OptionError, "one name"),
        ("data: digits", RecipeError, "needs a Environment"),
    ],
)
def test_mistakes_in_a_recipe_are_named_with_their_line(here, text, error, words):
    with pytest.raises(error) as caught:
        life.run(recipefile.parse(f"lichen: 1\n{text}\nsteps:\n  - decide.reinforce\n", "r.yaml"), here)
    assert words in str(caught.value) and "r.yaml" in str(caught.value)


def test_an_algorithm_says_which_other_takes_continuous_actions():
    with pytest.raises(UsageError, match="continuous"):
        li.decide.dqn(li.environment("Pendulum-v1"))
