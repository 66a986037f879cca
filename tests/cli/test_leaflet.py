"""What lies beside an exported policy or generator says how to ask it, and that answers."""

import contextlib
import io
import json

import numpy as np
import pytest

import lichen as li
from lichen.core.session import Session, using


@pytest.fixture(scope="module")
def policies(tmp_path_factory):
    """Files of a policy with discrete actions and of one with continuous ones."""
    folder, found = tmp_path_factory.mktemp("policies"), {}
    with using(Session()):
        for id in ("CartPole-v1", "Pendulum-v1"):
            world = li.prepare.environment(id=id)
            policy = li.decide.reinforce(world, num_steps=64, num_envs=2, judge_episodes=0)
            found[id] = policy, policy.save(folder / f"{id}.lichen")
    return found


def said_by(folder, monkeypatch):
    """What the Python of a README prints in its folder."""
    monkeypatch.chdir(folder)
    text = (folder / "README.txt").read_text()
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(text[text.index("import ") :], {})
    return text, out.getvalue().strip()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # lines to be copied close no files
@pytest.mark.parametrize("id", ["CartPole-v1", "Pendulum-v1"])
def test_an_exported_policy_says_what_it_takes_and_answers(lichen, policies, tmp_path, monkeypatch, id):
    policy, file = policies[id]
    seen = np.zeros(policy.assets["observation_shape"], "float32")
    done = lichen("export", file, "--out", tmp_path / "st", "--format", "safetensors")
    assert done.code == 0 and "answers as the value on 32 rows of noise" in done.out
    text, said = said_by(tmp_path / "st", monkeypatch)
    (reply,) = policy.predict(seen)
    if id == "CartPole-v1":
        assert "float32 (N, 4)" in text and "labels.json" in text and said == reply["label"]
    else:
        assert "-1 is [-2.0], 1 is [2.0]" in text
        assert 2 * np.clip(json.loads(said), -1, 1) == pytest.approx(reply["action"], rel=1e-5)
    assert lichen("export", file, "--out", tmp_path / "l", "--format", "lichen").code == 0
    assert said_by(tmp_path / "l", monkeypatch)[1] == str(reply["action"])


def test_without_rows_a_graph_of_a_policy_is_refused_with_the_step_that_records_them(
    lichen, policies, tmp_path
):
    refused = lichen("export", policies["CartPole-v1"][1], "--out", tmp_path / "onnx")
    assert refused.code == 2 and "decide.record" in refused.err
