"""games: what the recipes of a board game, a maze, an arm and an arcade game learn, in CPU seconds.

Each recipe's policy is learnt alone and then plays 200 episodes of test, on seeds that nobody trained or
chose on: connect-four against random moves, and against an opponent that wins at once wherever it can; the
others in the recipe's own environment. There is no peer here; `control.py` has those.
Needs: pip install 'lichen[boards,maze,mujoco,atari]'.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import lichen as li
from lichen.core import find, recipefile, session, step
from lichen.engine.decision import episodes

EPISODES = 200
RECIPES = Path(__file__).resolve().parents[1] / "recipes"


def won(returns_E: np.ndarray) -> float:
    """The share of games; a draw is not won."""
    return float((returns_E > 0).mean())


def mean(returns_E: np.ndarray) -> float:
    return float(returns_E.mean())


Asked = dict[str, tuple[dict[str, Any], Callable[[np.ndarray], float], float]]
ASKED: dict[str, Asked] = {
    "connect_four": {
        "won_against_random": ({"opponents": ["random"]}, won, 0.9),
        "won_against_greedy": ({"opponents": ["greedy"]}, won, 0.6),
    },
    "maze": {"mean_return": ({}, mean, 0.9)},
    "reacher": {"mean_return": ({}, mean, -8.0)},
    "road_runner": {"mean_return": ({}, mean, 900.0)},
}  # fmt: skip
"""By recipe what is asked of its policy: options of the environment, the figure, and what it is to reach."""


def played(name: str, seed: int) -> dict[str, float]:
    """The figures of one recipe's policy, and the CPU seconds that learning it took."""
    lines = recipefile.read(str(RECIPES / f"{name}.yaml")).lines
    place = next(dict(line.options) for line in lines if line.step == "prepare.environment")
    line = next(line for line in lines if line.step.startswith("decide."))
    find.load(f"lichen.steps.{line.step}")
    with session.using(session.Session()):
        world = li.environment(**place)
        start_s = time.process_time()
        policy = step.by_address(line.step)(world, **{**line.options, "seed": seed})
        found = {"cpu_s": round(time.process_time() - start_s, 1)}
        for figure, (options, measure, _) in ASKED[name].items():
            told = {**place, "options": {**place.get("options", {}), **options}}
            found[figure] = measure(episodes.play(policy, li.environment(**told), "test", EPISODES)[0])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="connect-four alone")
    parser.add_argument("--only", choices=ASKED, help="this recipe alone")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    names = [given.only] if given.only else ["connect_four"] if given.quick else list(ASKED)
    figures = {}
    for name in names:
        figures[name] = played(name, given.seed)
        print(name, json.dumps(figures[name]), flush=True)
    goal = {name: {figure: least for figure, (_, _, least) in ASKED[name].items()} for name in names}
    is_ok = all(figures[name][figure] >= least for name in names for figure, least in goal[name].items())
    print(json.dumps({"bench": "games", "figures": figures, "goal": goal, "ok": is_ok}))


if __name__ == "__main__":
    main()
