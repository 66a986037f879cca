"""texts: AG News from 10 001 rows, by a pretrained encoder and from scratch, beside TF-IDF and a linear SVM.

The peer is scikit-learn's: words and pairs of them, weighted by how rare they are, and a linear support
vector machine; its options are searched by cross-validation. It learns from the rows of train and of
validation, for lichen chooses by the latter. `pretrained` is `recipes/ag_news.yaml` (all-MiniLM-L6-v2,
tuned), `scratch` a bag of tokens. All answer the same 7 600 test rows, so their differences are paired row by
row.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import lichen as li
from lichen.core import recipefile
from lichen.engine import intervals

RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "ag_news.yaml"
GOAL = {"accuracy": 0.895, "gain": 0.01}
"""Of the better life: its test accuracy, and by how much it is above the peer."""
QUICK = 1500
"""Train rows of the smaller version."""
SCRATCH: dict[str, Any] = {
    "net": "bag", "net_options": {"width": 96, "dropout": 0.5}, "task": "text_classification", "epochs": 8,
    "optimizer": "adamw", "rate": 0.005, "weight_decay": 0.05, "precision": "float32",
}  # fmt: skip


def peer(data: li.Dataset, *, is_quick: bool) -> tuple[np.ndarray, dict[str, Any]]:
    """Whether each test row is answered rightly, and the options that were chosen."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline
    from sklearn.svm import LinearSVC

    learnt = [data.rows(split) for split in ("train", "validation")]
    texts = [text for rows in learnt for text in rows.texts]
    targets = np.concatenate([rows.targets for rows in learnt])
    pipeline = Pipeline([("words", TfidfVectorizer(sublinear_tf=True)), ("svm", LinearSVC())])
    wide = {"words__ngram_range": [(1, 1), (1, 2)], "words__stop_words": [None, "english"]}
    grid = {"svm__C": [0.5, 1.0], **({} if is_quick else wide)}
    search = GridSearchCV(pipeline, grid, cv=3).fit(texts, targets)
    test = data.rows("test")
    return search.predict(test.texts) == test.targets, search.best_params_


def pretrained(data: li.Dataset, *, is_quick: bool) -> li.Model:
    """The recipe's steps; quickly: its head alone."""
    told = {line.step: dict(line.options) for line in recipefile.read(str(RECIPE)).lines}
    model = li.pretrain.adopt(**told["pretrain.adopt"])
    model = li.adapt.head(model, data, **told["adapt.head"])
    less = {"freeze": "body", "epochs": 1} if is_quick else {}
    return li.adapt.finetune(model, data, **{**told["adapt.finetune"], **less})


def scratch(data: li.Dataset, *, is_quick: bool) -> li.Model:
    options = {**SCRATCH, "epochs": 2} if is_quick else SCRATCH
    return li.pretrain.train(data, li.prepare.bpe(data, size=16_000), **options)


LIVES = {"scratch": scratch, "pretrained": pretrained}


def figures_of(data: li.Dataset, names: Sequence[str], *, is_quick: bool) -> dict[str, Any]:
    start = time.process_time()
    theirs_N, chosen = peer(data, is_quick=is_quick)
    found = {"peer": {"accuracy": float(theirs_N.mean()), "cpu_s": time.process_time() - start,
                      "options": {name: str(given) for name, given in chosen.items()}}}  # fmt: skip
    print("peer", found["peer"], flush=True)
    for name in names:
        start = time.process_time()
        model = LIVES[name](data, is_quick=is_quick)
        scores = li.evaluate(model, data, split="test")
        ours_N = scores.answers()["outcome"].numpy()
        gain_N = ours_N - theirs_N
        low, high = intervals.paired(gain_N)
        found[name] = {"accuracy": scores.value, "cpu_s": time.process_time() - start,
                       "gain": float(gain_N.mean()), "low": low, "high": high}  # fmt: skip
        print(name, found[name], flush=True)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows, the head alone; no goal")
    parser.add_argument("--only", choices=sorted(LIVES), help="one of the lives")
    told = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, li.opened(Path(folder) / ".lichen"):
        try:
            data = li.load("ag_news", num_train=QUICK if told.quick else None)
        except li.LichenError as error:
            sys.exit(f"error: needs LICHEN_DATA with ag_news: {error}")
        figures = figures_of(data, [told.only] if told.only else list(LIVES), is_quick=told.quick)
    best = max((own for name, own in figures.items() if name != "peer"), key=lambda own: own["accuracy"])
    is_ok = not told.quick and all(best[name] >= least for name, least in GOAL.items())
    print(json.dumps({"bench": "texts", "figures": figures, "goal": GOAL, "ok": is_ok}))


if __name__ == "__main__":
    main()
