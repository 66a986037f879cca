"""test_practice: a killed run goes on to the same bytes, and what is no number never reaches a weight."""

import math

import numpy as np
import pytest
import torch
from quiet import Quiet, Stopped

import lichen as li
from lichen.core.array import Array
from lichen.core.errors import DivergedError, OptionError
from lichen.data import environments
from lichen.engine.decision import apprentice, practice
from lichen.engine.decision.apprentice import Fell, Practice
from lichen.engine.decision.replay import Replay

SMALL = {
    "ppo": {"num_envs": 4, "horizon": 8, "num_epochs": 2, "batch_size": 32, "normalise": True,
            "average": 0.5},
    "reinforce": {"num_envs": 4, "horizon": 8},
    "pqn": {"num_envs": 4, "horizon": 8, "batch_size": 16},
    "dqn": {"num_envs": 4, "horizon": 8, "num_updates": 3, "batch_size": 16, "replay": 100, "warmup": 40,
            "priority": 0.6, "returns": 3, "is_dueling": True, "lag": 0.5},
    "sac": {"num_envs": 4, "horizon": 8, "num_updates": 3, "batch_size": 16, "replay": 100, "warmup": 40},
}  # fmt: skip
WORLDS = {"sac": "worlds:Push"}
"""Where an algorithm learns; others in `worlds:NextStep`."""
STEPS = 320
"""Of the environment: ten rounds in five legs."""


@pytest.fixture(autouse=True)
def short_legs(monkeypatch):
    monkeypatch.setattr(apprentice, "LEG_STEPS", 64)
    monkeypatch.setattr(apprentice, "LEAST_STEPS", 1)


def world(name="worlds:NextStep"):
    return environments.look_at(name, {}, [])


def learnt(algorithm, run, name=None, **options):
    name = name or WORLDS.get(algorithm, "worlds:NextStep")
    step = getattr(li.decide, algorithm)
    given = {
        **{name: option.default for name, option in step.signature.options.items()},
        "num_steps": STEPS, "judge_episodes": 3, "judge_every": 96, **SMALL[algorithm], **options,
    }  # fmt: skip
    return step.fn(world(name), **given, run=run).digest


@pytest.mark.parametrize("algorithm", SMALL)
def test_equal_seeds_give_equal_bytes_and_others_do_not(algorithm):
    first, again, other = (learnt(algorithm, Quiet(), num_steps=96, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("algorithm", SMALL)
def test_a_killed_run_resumes_to_the_same_bytes(algorithm, normalise):
    whole = Quiet()
    digest = learnt(algorithm, whole, normalise=normalise)
    for stop_after in (2, 4):
        killed = Quiet(stop_after=stop_after)
        with pytest.raises(Stopped):
            learnt(algorithm, killed, normalise=normalise)
        again = Quiet(kept=killed.kept)
        assert learnt(algorithm, again, normalise=normalise) == digest
        assert again.history() == whole.history()[-len(again.history()) :]


@pytest.mark.parametrize("lost", ["y", "priority", "place"])
def test_a_checkpoint_that_loses_what_is_remembered_is_noticed(lost):
    killed = Quiet(stop_after=3)
    with pytest.raises(Stopped):
        learnt("dqn", killed, judge_episodes=0)  # the last weights: the best ones may be older than the stop
    state, arrays = killed.kept
    array = arrays[f"memory/{lost}"]
    blank = Array.of(np.ones_like(array.numpy()))
    again = learnt("dqn", Quiet(kept=(state, {**arrays, f"memory/{lost}": blank})), judge_episodes=0)
    assert again != learnt("dqn", Quiet(), judge_episodes=0)


def test_a_checkpoint_that_forgets_what_was_counted_is_noticed():
    killed = Quiet(stop_after=2)
    with pytest.raises(Stopped):
        learnt("ppo", killed, judge_episodes=0)
    state, arrays = killed.kept
    forgotten = {**arrays, "now/net.scales.seen.mean": arrays["now/net.scales.seen.spread"]}
    assert learnt("ppo", Quiet(kept=(state, forgotten)), judge_episodes=0) != learnt(
        "ppo", Quiet(), judge_episodes=0
    )


@pytest.mark.parametrize("algorithm", SMALL)
def test_a_reward_that_is_no_number_ends_the_run_after_retries(algorithm):
    run = Quiet()
    with pytest.raises(DivergedError, match="after 3 retries"):
        learnt(algorithm, run, "worlds:Sick" if algorithm == "sac" else "worlds:Broken")
    assert [run.decisions[f"retry_{number}"]["rate_scale"] for number in (1, 2, 3)] == [0.5, 0.25, 0.125]


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("algorithm", ["ppo", "reinforce", "pqn", "dqn"])
def test_a_round_in_which_every_copy_only_begins_anew_teaches_nothing(algorithm, normalise):
    """One copy and one step: one round in five is none."""
    run = Quiet()
    learnt(algorithm, run, num_envs=1, horizon=1, num_steps=64, judge_episodes=0, normalise=normalise)
    losses = [point["loss"] for point in run.history() if "loss" in point]
    assert losses and np.isfinite(losses).all() and not run.decisions


def test_after_a_fault_learning_goes_back_to_the_leg_at_half_the_rate(monkeypatch):
    true, count = apprentice.are_sound, iter(range(10**6))
    monkeypatch.setattr(apprentice, "are_sound", lambda *given: next(count) != 6 and true(*given))
    run = Quiet()
    learnt("ppo", run)
    assert run.decisions["retry_1"] == {"step": 3, "back_to": 2, "rate_scale": 0.5}
    assert [point["epoch"] for point in run.history()] == [1, 2, 3, 3, *range(4, 11)]
    rates = {point["epoch"]: point["rate"] for point in run.history()}
    assert rates[3] == pytest.approx(0.5 * 1e-3 * 0.8)


def falls_once(monkeypatch, at):
    """The first descent of a round, until it was retried."""
    descend = Practice.descend

    def falling(goes, gradient, x, y):
        if goes.trainee.step == at and not goes.trainee.counters["retries"]:
            raise Fell(math.nan)
        return descend(goes, gradient, x, y)

    monkeypatch.setattr(Practice, "descend", falling)


@pytest.mark.parametrize("algorithm", ["dqn", "sac"])
def test_after_a_fault_nothing_of_the_leg_is_remembered(algorithm, monkeypatch):
    """It goes on as a run does that begins the leg at half the rate."""
    falls_once(monkeypatch, at=5)
    options = {"replay": STEPS, "judge_episodes": 0}
    digest = learnt(algorithm, Quiet(), **options)
    killed = Quiet(stop_after=2)
    with pytest.raises(Stopped):
        learnt(algorithm, killed, **options)
    state, arrays = killed.kept
    state["now"].update(retries=1, rate_scale=0.5)
    assert learnt(algorithm, Quiet(kept=(state, arrays)), **options) == digest


@pytest.mark.parametrize("replay", [100, STEPS])
@pytest.mark.parametrize("algorithm", ["dqn", "sac"])
def test_a_run_that_is_killed_after_a_fault_resumes_to_the_same_bytes(algorithm, replay, monkeypatch):
    falls_once(monkeypatch, at=5)
    digest = learnt(algorithm, Quiet(), replay=replay, judge_episodes=0)
    for every in (1, 2):
        killed = Quiet(stop_after=3, every=every)
        with pytest.raises(Stopped):
            learnt(algorithm, killed, replay=replay, judge_episodes=0)
        assert "retry_1" in killed.decisions
        assert learnt(algorithm, Quiet(kept=killed.kept), replay=replay, judge_episodes=0) == digest


@pytest.mark.parametrize("algorithm", ["dqn", "sac"])
def test_what_is_no_number_is_never_remembered(algorithm, monkeypatch):
    monkeypatch.setattr(Replay, "add", lambda *given: pytest.fail("it was"))
    with pytest.raises(DivergedError):
        learnt(algorithm, Quiet(), "worlds:Sick" if algorithm == "sac" else "worlds:Broken")


def test_the_history_says_what_training_episodes_returned():
    run = Quiet()
    learnt("ppo", run)
    told = run.history()
    assert [point["steps"] for point in told] == [32 * round for round in range(1, 11)]
    assert all(6 <= point["training_return"] <= 30 for point in told if "training_return" in point)
    assert all(math.isfinite(point["loss"]) for point in told)


def test_a_long_history_is_thinned_but_tells_of_every_judging(monkeypatch):
    monkeypatch.setattr(practice, "POINTS", 2)
    run = Quiet()
    learnt("ppo", run)
    assert [point["epoch"] for point in run.history()] == [3, 5, 6, 9, 10]
    judged = [point["epoch"] for point in run.history() if "judged_return" in point]
    assert judged == [3, 6, 9, 10]


@pytest.mark.parametrize(
    ("algorithm", "options", "words"),
    [("dqn", {"replay": 39}, "at most replay"), ("dqn", {"num_steps": 32}, "at most 32"),
     ("sac", {"replay": 39}, "at most replay"), ("sac", {"num_steps": 64}, "at most 32")],
)  # fmt: skip
def test_options_by_which_nothing_would_be_learnt_are_refused(algorithm, options, words):
    run = Quiet()
    with pytest.raises(OptionError, match=words):
        learnt(algorithm, run, **options)
    assert not run.history()


def test_learning_stops_at_a_goal_and_the_choice_is_recorded():
    run = Quiet()
    learnt("ppo", run, goal=5.0, num_steps=100_000, judge_every=64)
    assert run.decisions["stop"] == {"round": 2, "steps": 64}
    far = Quiet()
    learnt("ppo", far, goal=1e9, judge_every=64)
    assert "stop" not in far.decisions


@pytest.mark.parametrize("value", [0.0, 9.0])
def test_a_replay_ends_where_the_recorded_run_did_whatever_it_reaches(value, monkeypatch):
    monkeypatch.setattr(apprentice, "_judged", lambda *given: np.array([value]))
    stop = {"round": 3, "steps": 96}
    run = Quiet(replayed={"stop": stop})
    learnt("ppo", run, goal=5.0, judge_every=32)
    assert run.history()[-1]["epoch"] == 3 and run.decisions["stop"] == stop


def test_the_best_judged_weights_are_kept_and_judging_changes_nothing_else(monkeypatch):
    monkeypatch.setattr(apprentice, "_judged", lambda *given: np.array([value.pop(0)]))
    value = [3.0, 9.0, 1.0, 2.0, 0.0]
    kept = learnt("ppo", Quiet(), judge_every=64, schedule="constant")
    assert kept == learnt("ppo", Quiet(), num_steps=4 * 32, judge_episodes=0, schedule="constant")


def test_what_is_judged_is_the_average_of_the_weights_after_each_round(monkeypatch):
    weights, judged, begin, report = [], [], apprentice.begin, practice._report

    def weights_of(goes):
        return torch.cat([part.detach().reshape(-1) for part in goes.agent.parameters()]).clone()

    def begun(*given, **named):
        goes = begin(*given, **named)
        weights.append(weights_of(goes))
        goes.judge = lambda number: judged.append(weights_of(goes)) or np.zeros(1)
        return goes

    def told(goes, figures, rate):
        weights.append(weights_of(goes))
        report(goes, figures, rate)

    monkeypatch.setattr(apprentice, "begin", begun)
    monkeypatch.setattr(practice, "_report", told)
    learnt("ppo", Quiet(), average=0.5, judge_every=32)
    assert len(judged) == 10
    average = weights[0]
    for number, (now, found) in enumerate(zip(weights[1:], judged, strict=True), 1):
        stays = min(0.5, (1 + number) / (10 + number))
        average = stays * average + (1 - stays) * now
        torch.testing.assert_close(found, average)
    assert not torch.allclose(judged[-1], weights[-1])


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("algorithm", ["ppo", "reinforce", "pqn", "dqn"])
def test_what_is_seen_may_be_pictures(algorithm, normalise):
    run = Quiet()
    learnt(algorithm, run, "worlds:Seen", num_steps=64, normalise=normalise, net_options={"width": 8})
    assert run.history()[-1]["steps"] == 64
