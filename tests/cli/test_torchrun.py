"""test_torchrun: two processes live one life: one store, one row per step, the same digests again."""

import json
import os
import subprocess
import sys

import pytest

from lichen.core import peers
from lichen.core.store import Store

RECIPES = {
    "image": """lichen: 1
name: image
data: {source: digits, num_train: 200}
steps:
  - pretrain.train: {net: mlp, net_options: {width: 8}, epochs: 2, patience: 1}
""",
    "language": """lichen: 1
name: language
data: {source: texts.jsonl, text: text}
steps:
  - prepare.bpe: {size: 280}
    as: tokenizer
  - pretrain.language: {tokenizer: $tokenizer, net_options: {depth: 1, width: 32, num_heads: 2},
                        max_tokens: 16, steps: 4, rounds: 2, batch_size: 4}
""",
}


def torchrun(folder, *words):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([*command, "-m", "lichen", *words], cwd=folder, env=one_thread, capture_output=True,
                          text=True, timeout=300)  # fmt: skip


def calls(folder):
    store = Store(folder / ".lichen")
    return [store.call(row["id"]) for row in store.records.rows("SELECT id FROM calls")]


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(RECIPES))
def test_two_processes_live_one_life_and_the_same_again(kind, tmp_path):
    digests = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        rows = [json.dumps({"text": f"row {number}: moss grows on stone"}) + "\n" for number in range(60)]
        (folder / "texts.jsonl").write_text("".join(rows))
        (folder / "life.yaml").write_text(RECIPES[kind])
        done = torchrun(folder, "run", "life.yaml", "--json")
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert [row["found"] for row in said["rows"]] == [False] * len(said["rows"])
        trained = [call for call in calls(folder) if call.step.startswith("pretrain")]
        assert len(trained) == 1 and trained[0].environment["ranks"] == 2
        assert len(list((folder / ".lichen" / "runs").iterdir())) == 1
        digests.append(said["digest"])
    assert digests[0] == digests[1]


def test_another_verb_than_run_is_refused(lichen, monkeypatch):
    """By what torchrun says of each process; that it says so is seen by the lives above."""
    for name, said in zip(peers.TOLD, ("0", "0", "2", "localhost"), strict=True):
        monkeypatch.setenv(name, said)
    refused = lichen("ablate", "image")
    assert refused.code == 2 and "torchrun is for `lichen run`" in refused.err
