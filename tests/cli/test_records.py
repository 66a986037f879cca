"""test_records: show, log and models say what happened, in few words, and at once."""

import json
import subprocess
import sys

import pytest

from lichen.core.store import Store


def test_show_names_only_what_was_chosen(lichen, home):
    out = lichen("show", "small").out
    assert "epochs=3" in out and "net_options=width 32" in out
    assert "label_smoothing" not in out and "None" not in out
    assert "decided execution:" in out


def test_show_answers_in_json(lichen, home):
    data = lichen("show", "small", "--json").data
    assert set(data) == {"digest", "kind", "names", "facts", "scores", "lineage", "recipe"}
    assert data["names"] == ["small"] and data["kind"] == "model"
    assert [call["step"] for call in data["lineage"]] == ["prepare.load", "augment.policy", "pretrain.train"]
    assert {score["split"] for score in data["scores"]} == {"validation", "test"}


def test_the_recipe_that_is_shown_makes_the_same_value(lichen, home):
    recipe = lichen("show", "small", "--recipe").out
    (home / "again.yaml").write_text(recipe)
    said = lichen("run", "again.yaml", "--json").data
    assert said["computed"] == 0 and said["digest"] == Store(home / ".lichen").resolve("small").digest


def test_scores_on_other_data_are_said_to_be(lichen, home):
    lichen("evaluate", "small", "digits", "--split", "train")
    assert lichen("show", "small").out.count("of other data") == 1
    assert "train" not in lichen("models").out


def test_scores_of_episodes_are_called_so_and_those_of_another_environment_told_apart(lichen, home):
    import lichen as li
    from lichen.core import session

    with session.opened(home / ".lichen"):
        lamps, others = li.environment("worlds:Bandit"), li.environment("worlds:Bandit", max_steps=9)
        model = li.decide.reinforce(lamps, num_steps=64, num_envs=2, horizon=16)
        for world in (lamps, others):
            li.evaluate(model, world, episodes=5)
    out = lichen("show", model.digest[:12]).out
    assert out.count("on 5 episodes\n") == 1 and out.count("on 5 episodes of another environment\n") == 1
    assert " rows" not in out


def test_log_shows_runs_newest_first(lichen, home):
    lichen("evaluate", "small")
    rows = lichen("log", "--json").data
    assert [row["what"] for row in rows] == ["evaluate small", "run small.yaml"]
    assert rows[1]["status"] == "done" and rows[1]["computed"] >= 4
    assert len(lichen("log", "-n", "1").out.strip().splitlines()) == 2


def test_log_of_a_value_counts_openings_of_test(lichen, home):
    data = lichen("log", "small", "--json").data
    assert data["times_opened"] == 1 and len(data["calls"]) == 3
    assert "test opened 1 time(s)" in lichen("log", "small").out


def test_models_lists_names(lichen, home):
    lichen("promote", "small", "small@prod")
    data = lichen("models", "--json").data
    assert [row["name"] for row in data] == ["small", "small@prod"]
    assert "validation accuracy" in lichen("models").out


def test_names_move_and_go_back(lichen, home):
    digest = Store(home / ".lichen").resolve("small").digest
    other = Store(home / ".lichen").resolve("small").made.call.inputs["data"].digest
    assert lichen("promote", digest[:10], "small@prod", "--json").data["digest"] == digest
    lichen("promote", other[:10], "small@prod")
    assert lichen("rollback", "small@prod", "--json").data["digest"] == digest
    assert len(lichen("rollback", "small@prod", "--history", "--json").data) == 3


VERBS = {
    "help": ["--help"],
    "show": ["show", "small"],
    "log": ["log"],
    "log of a value": ["log", "small"],
    "models": ["models"],
    "store": ["store"],
    "steps": ["steps"],
    "completion": ["completion"],
}
SCRIPT = """
import sys
before = set(sys.modules)
from lichen.cli.main import main
code = main(sys.argv[1:])
loaded = set(sys.modules) - before
heavy = sorted({"torch", "numpy", "PIL", "sklearn", "pandas"} & loaded)
sys.stderr.write(__import__("json").dumps([code, heavy, len(loaded)]))
"""
MOST_MODULES = 200
"""That a verb loads, the interpreter's own too: 86 to 161 took 0.07 to 0.13 s of CPU."""


@pytest.mark.parametrize("verb", VERBS)
def test_management_verbs_import_neither_torch_nor_numpy_and_little_else(home, verb):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *VERBS[verb]], capture_output=True, text=True, check=True, cwd=home
    )
    code, heavy, num_loaded = json.loads(done.stderr)
    assert code == 0 and heavy == []
    assert num_loaded < MOST_MODULES


OWN = """lichen: 1
data: {source: digits, num_train: 300}
steps:
  - pretrain.train: {net: mlp, net_options: {width: 8}, epochs: 1, precision: float32}
  - own:shrink: {}
"""
SHRINK = '''import lichen as li
from lichen.core.array import Array


@li.step
def shrink(model: li.Model, *, factor: float = 0.5) -> li.Model:
    """Weights, all smaller."""
    weights = {name: array.numpy() * factor for name, array in model.weights().items()}
    return model.with_weights({name: Array.of(array) for name, array in weights.items()})
'''


@pytest.mark.slow
def test_a_step_of_ones_own_is_known_where_its_store_is_and_told_where_it_is_gone(home, tmp_path):
    """Each command in a process of its own, from another folder."""
    (home / "units").mkdir()
    (home / "units" / "own.py").write_text(SHRINK)
    (home / "own.yaml").write_text(OWN)
    words = [sys.executable, "-m", "lichen", "--store", str(home / ".lichen")]

    def said(*argv):
        return subprocess.run([*words, *argv], cwd=tmp_path, capture_output=True, text=True, check=False)

    run = said("run", str(home / "own.yaml"), "--no-test")
    assert run.returncode == 0, run.stderr
    shown = said("show", "own", "--recipe")
    assert "own:shrink" in shown.stdout and "factor" not in shown.stdout
    assert said("reproduce", "own").returncode == 0
    (home / "units" / "own.py").unlink()
    shown = said("show", "own", "--recipe")
    assert shown.returncode == 0 and "factor: 0.5" in shown.stdout, shown.stderr
