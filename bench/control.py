"""control: CPU seconds to solve environments, against Stable-Baselines3 and a plain PQN.

Solved is a mean return over 100 greedy episodes on seeds that nobody trained on. Every run is a process of
its own; its clock starts after the imports and stands still while others judge it. Ours judges itself, and
pays for that. Seeds are run by turns, each side in another place of the order.

Sides: ours (the recipe of that name), ppo and dqn (ours at their defaults, but for `num_steps`, the `goal`
that they stop at, and how often and by how many episodes they are judged), sb3 (PPO at its own defaults), zoo
(PPO at the settings of rl-baselines3-zoo), pqn (Gallici et al. 2025 on torch at the settings that CleanRL
documents). Needs: pip install 'lichen[bench,box2d,mujoco]'.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

EPISODES = 100
EVERY = {"sb3": 8192, "zoo": 2048, "pqn": 8192}
"""Steps between two looks at a peer."""
Greedy = Callable[[np.ndarray], np.ndarray]
RECIPES = Path(__file__).resolve().parents[1] / "recipes"


@dataclass(frozen=True)
class Bar:
    """What an environment asks.

    Args:
        solved: the mean return.
        budgets: steps of the environment after which a side has not solved it, by side.
        goals: times the CPU seconds of ours that a peer takes.
        seeds: of a full run; all of ours have to solve it.
    """

    world: str
    solved: float
    budgets: dict[str, int | None]
    goals: dict[str, float] = field(default_factory=dict)
    seeds: int = 3


BARS = {
    "cartpole": Bar(
        "CartPole-v1", 475.0,
        {"ours": None, "ppo": 100_000, "dqn": 100_000, "pqn": 500_000, "sb3": 400_000, "zoo": 100_000},
        {"sb3": 20.0, "zoo": 2.0, "pqn": 1.0}, seeds=10,
    ),
    "lunarlander": Bar("LunarLander-v3", 242.0, {"ours": None, "zoo": 1_000_000}, {"zoo": 5.0}),
    "pendulum": Bar("Pendulum-v1", -200.0, {"ours": None}),
    "inverted_pendulum": Bar("InvertedPendulum-v5", 950.0, {"ours": None}),
}  # fmt: skip
OURS = ("ours", "ppo", "dqn")
ZOO: dict[str, dict[str, Any]] = {
    "CartPole-v1": {
        "n_envs": 8, "n_steps": 32, "batch_size": 256, "gae_lambda": 0.8, "gamma": 0.98, "n_epochs": 20,
        "learning_rate": lambda left: 0.001 * left, "clip_range": lambda left: 0.2 * left,
    },
    "LunarLander-v3": {
        "n_envs": 16, "n_steps": 1024, "batch_size": 64, "gae_lambda": 0.98, "gamma": 0.999, "n_epochs": 4,
        "ent_coef": 0.01,
    },
}  # fmt: skip


def mean_return(world: str, greedy: Greedy) -> float:
    """Of 100 episodes, each in an environment of its own that is left alone when it is over."""
    import gymnasium

    envs = [gymnasium.make(world, disable_env_checker=True) for _ in range(EPISODES)]
    seen = np.stack([env.reset(seed=10_000 + number)[0] for number, env in enumerate(envs)])
    earned, going = np.zeros(EPISODES), np.arange(EPISODES)
    while len(going):
        ended = np.zeros(len(going), bool)
        for place, action in enumerate(greedy(seen[going].astype(np.float32))):
            number = going[place]
            seen[number], reward, terminated, truncated, _ = envs[number].step(action)
            earned[number] += reward
            ended[place] = terminated or truncated
        going = going[~ended]
    return float(earned.mean())


class Clock:
    """CPU seconds of this process, without those of looks at it."""

    def __init__(self, bar: Bar, every: int) -> None:
        self.bar, self.every = bar, every
        self.looks, self.away_s, self.start_s = 0, 0.0, time.process_time()

    def spent_s(self) -> float:
        return time.process_time() - self.start_s - self.away_s

    def is_solved(self, steps: int, greedy: Greedy) -> bool:
        """Looks when it is time to."""
        if steps // self.every <= self.looks:
            return False
        self.looks = steps // self.every
        before = time.process_time()
        found = mean_return(self.bar.world, greedy) >= self.bar.solved
        self.away_s += time.process_time() - before
        return found


def ours(name: str, side: str, seed: int, budget: int | None) -> tuple[float, int, Greedy]:
    import lichen as li
    from lichen.core import find, recipefile, session, step
    from lichen.engine import answer
    from lichen.engine.decision import actions

    bar, address, options = BARS[name], f"decide.{side}", {}
    if side == "ours":
        line = next(
            line for line in recipefile.read(RECIPES / f"{name}.yaml").lines if "decide." in line.step
        )
        address, options = line.step, dict(line.options)
    else:
        options = {"goal": bar.solved + 15.0, "judge_every": 1024, "judge_episodes": 40}
    options |= {"seed": seed} | ({"num_steps": budget} if budget else {})
    find.load(f"lichen.steps.{address}")
    with session.using(session.Session()) as here:
        world, done = li.environment(bar.world), []
        here.events.sinks = (lambda event: done.append(event.get("steps", 0)),)
        clock = Clock(bar, 1)
        model = step.by_address(address)(world, **options)
        spent_s = clock.spent_s()
    run = answer.runner(model)
    return spent_s, max(done), lambda seen: actions.greedy(run(seen), model.assets)


def stable_baselines(name: str, side: str, seed: int, budget: int) -> tuple[float, int, Greedy]:
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

    torch.set_num_threads(1)
    bar = BARS[name]
    settings = dict(ZOO[bar.world]) if side == "zoo" else {}
    copies = make_vec_env(bar.world, n_envs=settings.pop("n_envs", 1), seed=seed)
    clock = Clock(bar, max(EVERY[side], budget // 50))
    model = PPO("MlpPolicy", copies, seed=seed, **settings)

    def greedy(seen: np.ndarray) -> np.ndarray:
        return model.predict(seen, deterministic=True)[0]

    class Look(BaseCallback):
        def _on_step(self) -> bool:
            return not clock.is_solved(self.num_timesteps, greedy)

    model.learn(budget, callback=Look())
    return clock.spent_s(), model.num_timesteps, greedy


def pqn(name: str, side: str, seed: int, budget: int) -> tuple[float, int, Greedy]:
    """Four copies, 128 steps, Q(0.65), four epochs of four minibatches; epsilon falls for half of it."""
    import gymnasium
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    clock, draws = Clock(BARS[name], EVERY["pqn"]), np.random.default_rng(seed)
    copies = gymnasium.make_vec(BARS[name].world, num_envs=4, vectorization_mode="sync")
    net = nn.Sequential(nn.Linear(4, 120), nn.LayerNorm(120), nn.ReLU(), nn.Linear(120, 84), nn.LayerNorm(84),
                        nn.ReLU(), nn.Linear(84, 2))  # fmt: skip
    optimizer = torch.optim.RAdam(net.parameters(), lr=2.5e-4)

    def greedy(seen: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return net(torch.as_tensor(seen)).argmax(1).numpy()

    seen, steps = copies.reset(seed=seed)[0], 0
    was_done = np.zeros(4, bool)
    while steps < budget:
        optimizer.param_groups[0]["lr"] = 2.5e-4 * (1 - steps / budget)
        rows = []
        for _ in range(128):
            epsilon = max(0.05, 1 - 0.95 * steps / (0.5 * budget))
            done = np.where(draws.random(4) < epsilon, draws.integers(0, 2, 4), greedy(seen))
            after, reward, terminated, truncated, _ = copies.step(done)
            rows.append((seen, done, reward, terminated, terminated | truncated, was_done))
            seen, was_done, steps = after, terminated | truncated, steps + 4
            if clock.is_solved(steps, greedy):
                return clock.spent_s(), steps, greedy
        x, action, reward, terminated, ended, dead = (torch.as_tensor(np.stack(part)) for part in zip(*rows))
        with torch.no_grad():
            best = net(torch.cat([x[1:], torch.as_tensor(seen)[None]])).max(2).values
        target, later = torch.empty(128, 4), best[-1]
        for at in range(127, -1, -1):
            later = torch.where(ended[at], best[at], 0.35 * best[at] + 0.65 * later)
            later = target[at] = reward[at].float() + 0.99 * later * ~terminated[at]
        flat = [part.reshape(512, *part.shape[2:]) for part in (x, action, target)]
        real = torch.nonzero(~dead.reshape(512)).squeeze(1)
        for _ in range(4):
            for chosen in real[torch.randperm(len(real))].chunk(4):
                said = net(flat[0][chosen]).gather(1, flat[1][chosen, None]).squeeze(1)
                loss = nn.functional.mse_loss(said, flat[2][chosen])
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 10.0)
                optimizer.step()
    return clock.spent_s(), steps, greedy


SIDES: dict[str, Callable[..., tuple[float, int, Greedy]]] = {
    "ours": ours, "ppo": ours, "dqn": ours, "pqn": pqn, "sb3": stable_baselines, "zoo": stable_baselines,
}  # fmt: skip


def alone(name: str, side: str, seed: int, budget: int | None) -> None:
    """One run of one side: what it took and what it is worth, as a line of JSON."""
    import torch  # noqa: F401

    spent_s, steps, greedy = SIDES[side](name, side, seed, budget)
    worth = mean_return(BARS[name].world, greedy)
    print(json.dumps({"cpu_s": round(spent_s, 3), "steps": steps, "mean_return": worth}))


def told(name: str, side: str, seed: int, budget: int | None) -> dict[str, Any]:
    source = Path(__file__).resolve()
    paths = [str(source.parents[1] / "src"), os.environ.get("PYTHONPATH", "")]
    asked = [
        "--bar",
        name,
        "--side",
        side,
        "--seed",
        str(seed),
        *(["--budget", str(budget)] if budget else []),
    ]
    done = subprocess.run(
        [sys.executable, str(source), *asked],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{side} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measured(name: str, num_seeds: int, sides: list[str]) -> tuple[dict[str, Any], bool]:
    """The figures of one environment, and whether its bar is reached."""
    bar = BARS[name]
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for seed in range(num_seeds):
        for side in sides[seed % len(sides) :] + sides[: seed % len(sides)]:
            found[side].append(told(name, side, seed, bar.budgets[side]))
            print(f"{name}  seed {seed}  {side:5s} {json.dumps(found[side][-1])}", flush=True)
    median_s = {side: statistics.median(run["cpu_s"] for run in runs) for side, runs in found.items()}
    solved = {side: sum(run["mean_return"] >= bar.solved for run in runs) for side, runs in found.items()}
    ratios = {side: round(median_s[side] / median_s["ours"], 2) for side in bar.goals if side in found}
    is_ok = all(solved[side] == num_seeds for side in sides if side in OURS)
    is_ok &= all(ratios[side] >= bar.goals[side] for side in ratios)
    figures = {"median_cpu_s": median_s, "solved": solved, "runs": num_seeds, "ratios": ratios}
    return figures, is_ok


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="cartpole alone, two seeds, without sb3 and pqn")
    parser.add_argument("--bar", choices=BARS, help="this environment alone")
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=int)
    given = parser.parse_args()
    if given.side:
        name = given.bar or "cartpole"
        alone(name, given.side, given.seed, given.budget or BARS[name].budgets[given.side])
        return
    figures, is_ok = {}, True
    for name in [given.bar or "cartpole"] if given.quick or given.bar else BARS:
        sides = [side for side in BARS[name].budgets if not given.quick or side not in ("sb3", "pqn")]
        figures[name], is_fine = measured(name, 2 if given.quick else BARS[name].seeds, sides)
        is_ok &= is_fine
    goals = {name: {"solved": bar.solved, **bar.goals} for name, bar in BARS.items()}
    print(json.dumps({"bench": "control", "figures": figures, "goal": goals, "ok": is_ok}))


if __name__ == "__main__":
    main()
