"""control: CPU seconds to solve CartPole-v1, against Stable-Baselines3 and a plain PQN.

Solved is a mean return of 475 over 100 greedy episodes on seeds that nobody trained on. Every run is a
process of its own; its clock starts after the imports and stands still while others judge it. Ours judges
itself, and pays for that. Seeds are run by turns, each side in another place of the order.

Sides: ours (decide.ppo to a goal), sb3 (its default PPO), zoo (its PPO at the settings of rl-baselines3-zoo),
pqn (Gallici et al. 2025 on torch at the settings that CleanRL documents). Needs: pip install 'lichen[bench]'.
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
from pathlib import Path
from typing import Any

import numpy as np

WORLD, SOLVED, EPISODES = "CartPole-v1", 475.0, 100
BUDGET = {"ours": 100_000, "sb3": 400_000, "zoo": 100_000, "pqn": 500_000}
"""Steps of the environment after which a side has not solved it."""
EVERY = {"sb3": 8192, "zoo": 2048, "pqn": 8192}
"""Steps between two looks at a peer."""
GOALS = {"sb3": 20.0, "zoo": 2.0, "pqn": 1.0}
"""Times the CPU seconds of ours."""
Greedy = Callable[[np.ndarray], np.ndarray]


def mean_return(greedy: Greedy) -> float:
    """Of 100 episodes, one in each copy of Gymnasium's own vector environment."""
    import gymnasium

    copies = gymnasium.make_vec(WORLD, num_envs=EPISODES)
    seen, _ = copies.reset(seed=10_000)
    earned, goes_on = np.zeros(EPISODES), np.ones(EPISODES, bool)
    while goes_on.any():
        seen, rewards, terminated, truncated, _ = copies.step(greedy(seen))
        earned += rewards * goes_on
        goes_on &= ~(terminated | truncated)
    return float(earned.mean())


class Clock:
    """CPU seconds of this process, without those of looks at it."""

    def __init__(self, every: int) -> None:
        self.every, self.looks, self.away_s, self.start_s = every, 0, 0.0, time.process_time()

    def spent_s(self) -> float:
        return time.process_time() - self.start_s - self.away_s

    def is_solved(self, steps: int, greedy: Greedy) -> bool:
        """Looks when it is time to."""
        if steps // self.every <= self.looks:
            return False
        self.looks = steps // self.every
        before = time.process_time()
        found = mean_return(greedy) >= SOLVED
        self.away_s += time.process_time() - before
        return found


def ours(seed: int, budget: int) -> tuple[float, int, Greedy]:
    import lichen as li
    from lichen.core import recipefile, session, step
    from lichen.engine import actions, answer
    from lichen.steps.decide import ppo as imported  # noqa: F401

    line = recipefile.read(Path(__file__).resolve().parents[1] / "recipes" / "cartpole.yaml").lines[1]
    assert line.step == "decide.ppo"
    options = {**line.options, "num_steps": budget, "seed": seed}
    with session.using(session.Session()) as here:
        world, done = li.environment(WORLD), []
        here.events.sinks = (lambda event: done.append(event.get("steps", 0)),)
        clock = Clock(1)
        model = step.by_address("decide.ppo")(world, **options)
        spent_s = clock.spent_s()
    run = answer.runner(model)
    return spent_s, max(done), lambda seen: actions.greedy(run(seen), model.assets)


def stable_baselines(seed: int, budget: int, *, is_zoo: bool) -> tuple[float, int, Greedy]:
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

    torch.set_num_threads(1)
    settings: dict[str, Any] = {}
    if is_zoo:
        settings = {
            "n_steps": 32, "batch_size": 256, "gae_lambda": 0.8, "gamma": 0.98, "n_epochs": 20,
            "learning_rate": lambda left: 0.001 * left, "clip_range": lambda left: 0.2 * left,
        }  # fmt: skip
    clock = Clock(EVERY["zoo" if is_zoo else "sb3"])
    model = PPO("MlpPolicy", make_vec_env(WORLD, n_envs=8 if is_zoo else 1, seed=seed), seed=seed, **settings)

    def greedy(seen: np.ndarray) -> np.ndarray:
        return model.predict(seen, deterministic=True)[0]

    class Look(BaseCallback):
        def _on_step(self) -> bool:
            return not clock.is_solved(self.num_timesteps, greedy)

    model.learn(budget, callback=Look())
    return clock.spent_s(), model.num_timesteps, greedy


def pqn(seed: int, budget: int) -> tuple[float, int, Greedy]:
    """Four copies, 128 steps, Q(0.65), four epochs of four minibatches; epsilon falls for half of it."""
    import gymnasium
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    clock, draws = Clock(EVERY["pqn"]), np.random.default_rng(seed)
    copies = gymnasium.make_vec(WORLD, num_envs=4, vectorization_mode="sync")
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


SIDES: dict[str, Callable[[int, int], tuple[float, int, Greedy]]] = {
    "ours": ours, "pqn": pqn, "sb3": lambda seed, budget: stable_baselines(seed, budget, is_zoo=False),
    "zoo": lambda seed, budget: stable_baselines(seed, budget, is_zoo=True),
}  # fmt: skip


def alone(side: str, seed: int, budget: int) -> None:
    """One run of one side: what it took and what it is worth, as a line of JSON."""
    if side != "ours":
        import torch  # noqa: F401
    spent_s, steps, greedy = SIDES[side](seed, budget)
    print(json.dumps({"cpu_s": round(spent_s, 3), "steps": steps, "mean_return": mean_return(greedy)}))


def told(side: str, seed: int, budget: int) -> dict[str, Any]:
    source = Path(__file__).resolve()
    paths = [str(source.parents[1] / "src"), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, str(source), "--side", side, "--seed", str(seed), "--budget", str(budget)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{side} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two seeds instead of ten")
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=int)
    given = parser.parse_args()
    if given.side:
        alone(given.side, given.seed, given.budget or BUDGET[given.side])
        return
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for seed in range(2 if given.quick else 10):
        order = list(SIDES)[seed % len(SIDES) :] + list(SIDES)[: seed % len(SIDES)]
        for side in order:
            found[side].append(told(side, seed, given.budget or BUDGET[side]))
            print(f"seed {seed}  {side:5s} {json.dumps(found[side][-1])}", flush=True)
    median_s = {side: statistics.median(run["cpu_s"] for run in runs) for side, runs in found.items()}
    solved = {side: sum(run["mean_return"] >= SOLVED for run in runs) for side, runs in found.items()}
    ratios = {side: round(median_s[side] / median_s["ours"], 2) for side in GOALS}
    is_ok = solved["ours"] == len(found["ours"]) and all(ratios[side] >= goal for side, goal in GOALS.items())
    figures = {"median_cpu_s": median_s, "solved": solved, "runs": len(found["ours"]), "ratios": ratios}
    print(json.dumps({"bench": "control", "figures": figures, "goal": GOALS, "ok": is_ok}))


if __name__ == "__main__":
    main()
