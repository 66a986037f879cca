"""wikitext: bits per byte of WikiText-2's test text, by counted words, by xz and by `recipes/wikitext.yaml`.

The counts are an interpolated 5-gram with Kneser and Ney's smoothing as Chen and Goodman (1998) modified it:
three discounts per order, lower orders counted by kinds of what stands before. It knows all words beforehand,
test's too, which only helps it. Words are all that lies between spaces, and the ends of lines, so that the
words tell the text to the byte. It reads train and not validation, as lichen does. `xz` is what test adds to
a file of train and test, by `xz -9e`.

lichen's side is `lichen run` of the whole recipe in a store of its own: reading, the tokenizer, measuring,
training, judging and the one opening of test, with all imports.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "recipes" / "wikitext.yaml"
ORDER = 5
CPU_MINUTES = 20.0
"""Of lichen's life, at most; its bits per byte are to be below those of both others."""


# Counted words.


def words(text: str) -> list[str]:
    return [word for word in text.replace("\n", " \n ").split(" ") if word]


def grams(ids_T: np.ndarray, order: int) -> list[np.ndarray]:
    """Per length n up to `order`: which of all different n-grams begins at each place."""
    found, num_words = [ids_T], int(ids_T.max()) + 1
    for length in range(2, order + 1):
        pairs = found[-1][:-1].astype(np.int64) * num_words + ids_T[length - 1 :]
        found.append(np.unique(pairs, return_inverse=True)[1])
    return found


def discounts(count_G: np.ndarray) -> np.ndarray:
    """(4,): taken from n-grams seen never, once, twice and more often; Chen and Goodman's equation 26."""
    n1, n2, n3, n4 = (int((count_G == seen).sum()) for seen in (1, 2, 3, 4))
    y = n1 / (n1 + 2 * n2)
    return np.array([0.0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])


def told(train: Sequence[str], held: Sequence[str], order: int = ORDER) -> np.ndarray:
    """float (T,): the probability of each held word after those before it."""
    number = {word: place for place, word in enumerate(dict.fromkeys([*train, *held]))}
    ids_T = np.array([number[word] for word in (*train, *held)])
    found = grams(ids_T, order)
    p_T = np.full(len(held), 1.0 / len(number))
    for length, gram_T in enumerate(found, start=1):
        num_kinds, num_train = int(gram_T.max()) + 1, len(train) - length + 1
        if length == order:
            count_G = np.bincount(gram_T[:num_train], minlength=num_kinds)
        else:  # in how many different longer ones it is the end
            _, first = np.unique(found[length][: num_train - 1], return_index=True)
            count_G = np.bincount(gram_T[first + 1], minlength=num_kinds)
        context_G = np.zeros(num_kinds, int)
        if length > 1:
            context_G = found[length - 2][np.unique(gram_T, return_index=True)[1]]
        taken_G = discounts(count_G)[np.minimum(count_G, 3)]
        whole_C = np.bincount(context_G, count_G)
        rest_C = np.bincount(context_G, taken_G)
        at_T = gram_T[np.arange(len(train), len(ids_T)) - length + 1]
        is_known_T, below_T = whole_C[context_G[at_T]] > 0, np.maximum(whole_C[context_G[at_T]], 1)
        own_T = np.where(is_known_T, (count_G[at_T] - taken_G[at_T]) / below_T, 0.0)
        p_T = own_T + np.where(is_known_T, rest_C[context_G[at_T]] / below_T, 1.0) * p_T
    return p_T


def counted(train: str, test: str) -> float:
    p_T = told(words(train), words(test))
    return float(-np.log2(p_T).sum()) / len(test.encode())


def packed(train: str, test: str) -> float:
    sizes = [len(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
             for text in (train + test, train)]  # fmt: skip
    return 8 * (sizes[0] - sizes[1]) / len(test.encode())


# lichen.


def life(options: Sequence[str]) -> dict[str, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    paths = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    with tempfile.TemporaryDirectory() as folder:
        said = subprocess.run(
            [sys.executable, "-m", "lichen", "run", str(RECIPE), *options, "--json", "--measure-again",
             "--store", folder],
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE,
            text=True, check=True,
        )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    test = json.loads(said.stdout)["test"]
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"bits_per_byte": test["value"], "cpu_minutes": cpu_s / 60}


def text(split: str) -> str:
    from pyarrow import parquet

    root = Path(os.environ.get("LICHEN_DATA") or sys.exit("error: needs LICHEN_DATA with wikitext2"))
    return "".join(parquet.read_table(root / "wikitext2" / f"{split}.parquet")["text"].to_pylist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="20 steps; no goal")
    asked = parser.parse_args()
    train, test = text("train"), text("test")
    figures: dict[str, Any] = {"kneser_ney": counted(train, test), "xz": packed(train, test)}
    figures["lichen"] = life(["language.steps=20", "language.rounds=2"] if asked.quick else [])
    own = figures["lichen"]
    is_ok = (
        not asked.quick
        and own["bits_per_byte"] < min(figures["kneser_ney"], figures["xz"])
        and own["cpu_minutes"] <= CPU_MINUTES
    )
    goal = f"fewer bits per byte than both in {CPU_MINUTES:.0f} CPU minutes"
    print(json.dumps({"bench": "wikitext", "figures": figures, "goal": goal, "ok": is_ok}))


if __name__ == "__main__":
    main()
