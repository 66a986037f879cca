"""ways: how a game can be searched: by chance, greedily, by TPE, or by a policy that learns; each pays alike.

Each keeps the best that it asked for, as AMC and AutoAugment keep their best episode.

Paper: Bergstra et al. 2011 (TPE).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from lichen.core import calling, step
from lichen.core.environment import Environment
from lichen.core.errors import missing_package
from lichen.core.session import Session, current
from lichen.core.value import Value
from lichen.data import environments
from lichen.engine.search import games
from lichen.engine.search.games import Game, Levels

JUDGE_EVERY = 5
"""Episodes from one greedy one to the next."""
ROUND = 4
"""Episodes between two updates of a learner without a replay."""
WARM = 10
"""Episodes by chance before a learner with a replay learns."""
LEAST = 3 * WARM
"""A budget of which anything could be learnt."""


def game_of(world: Environment) -> Game:
    """The game that is played in an environment."""
    copies = environments.copies(world, 1)
    try:
        return copies.vector.envs[0].unwrapped.game  # type: ignore[attr-defined]
    finally:
        copies.close()


def called(address: str, values: tuple[Value, ...], options: Mapping[str, Any], session: Session) -> Any:
    """What a step gives."""
    one = step.by_address(address)
    return calling.execute(one, calling.bind(one.signature, values, {}), options, session)


class Choice(NamedTuple):
    """The best of what a way asked for, and how often it asked."""

    levels: Levels
    asked: int


def found(way: str, game: Game, budget: int, seed: int, world: Environment, algorithm: str) -> Choice:
    """Searches in one way. Of equal choices the one that was asked for first is the best."""
    before = len(game.asked)
    WAYS[way](game, budget, seed, world, algorithm)
    tried = game.asked[before:]
    best, _ = max(tried, key=lambda one: one[1])
    return Choice(best, len(tried))


def _random(game: Game, budget: int, seed: int, world: Environment, algorithm: str) -> None:
    draws = np.random.Generator(np.random.Philox(seed))
    for _ in range(budget):
        game.worth(games.settled(game, draws.integers(0, game.num_levels, game.num_places).tolist()))


def _greedy(game: Game, budget: int, seed: int, world: Environment, algorithm: str) -> None:
    """From the usual choice, one place changed at a time; what is no worse is kept."""
    draws = np.random.Generator(np.random.Philox(seed))
    best, worth = game.usual, game.worth(game.usual)
    for _ in range(budget - 1):
        wanted = list(best)
        if game.is_ordered:  # one up for one down, so that the budget stays about as full
            up, down = draws.permutation(game.num_places)[:2] if game.num_places > 1 else (0, 0)
            wanted[up], wanted[down] = min(wanted[up] + 1, game.num_levels - 1), max(wanted[down] - 1, 0)
        else:
            wanted[draws.integers(game.num_places)] = int(draws.integers(game.num_levels))
        one = games.settled(game, wanted)
        if (value := game.worth(one)) >= worth:
            best, worth = one, value


def _tpe(game: Game, budget: int, seed: int, world: Environment, algorithm: str) -> None:
    """Asked and told in the order of trials, as threads would make it irreproducible."""
    try:
        import optuna
    except ImportError:
        raise missing_package("optuna", "search") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    for _ in range(budget):
        trial, top = study.ask(), game.num_levels - 1
        wanted = [
            trial.suggest_int(str(place), 0, top) if game.is_ordered
            else trial.suggest_categorical(str(place), list(range(top + 1)))
            for place in range(game.num_places)
        ]  # fmt: skip
        study.tell(trial, game.worth(games.settled(game, wanted)))


def _learnt(game: Game, budget: int, seed: int, world: Environment, algorithm: str) -> None:
    """Episodes of a policy that learns, and those that judge it: these are paid for as well.

    It learns anew even where the store has that policy, and from the start, as its episodes are what counts.
    """
    episodes = budget * JUDGE_EVERY // (JUDGE_EVERY + 1)
    options = {**learning(algorithm, game.num_places, episodes), "seed": seed}
    anew = replace(current(), is_fresh=True, checkpoint_every_s=math.inf)
    called(f"decide.{algorithm}", (world,), options, anew)


def learning(algorithm: str, num_places: int, episodes: int) -> dict[str, Any]:
    """How an algorithm learns of so few episodes: one copy, whole episodes, no discount."""
    whole = episodes - episodes % ROUND  # rounds are whole
    few = {"num_envs": 1, "num_steps": whole * num_places, "horizon": num_places, "discount": 1.0,
           "judge_episodes": 1, "judge_every": JUDGE_EVERY * num_places}  # fmt: skip
    replayed = {
        "warmup": WARM * num_places,
        "num_updates": 4 * num_places,
        "batch_size": 32,
        "replay": 10_000,
    }
    fresh = {"horizon": ROUND * num_places, "rate": 3e-3}
    own: dict[str, dict[str, Any]] = {
        "dqn": {**replayed, "returns": num_places, "explore_share": 0.8, "lag": 0.95},
        "sac": replayed,
        "ppo": {**fresh, "trace": 1.0, "entropy": 0.01, "batch_size": ROUND * num_places},
        "pqn": {**fresh, "trace": 1.0, "batch_size": ROUND * num_places, "explore_share": 0.8},
        "reinforce": fresh,
    }
    return {**few, **own[algorithm]}


WAYS: dict[str, Callable[[Game, int, int, Environment, str], None]] = {
    "rl": _learnt, "random": _random, "greedy": _greedy, "tpe": _tpe,
}  # fmt: skip
