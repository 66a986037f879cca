"""texts: AG News by a pretrained encoder and from scratch, SST-2 by nets that know nothing, at equal CPU.

`--case ag_news` (10 001 rows): the peer is scikit-learn's: words and pairs of them, weighted by how rare they
are, and a linear support vector machine; its options are searched by cross-validation. It learns from the
rows of train and of validation, for lichen chooses by the latter. `pretrained` is `recipes/ag_news.yaml`
(all-MiniLM-L6-v2, tuned), `scratch` a bag of tokens.

`--case sst2` (60 614 phrases): a GRU and an LSTM by `recipes/sst2_gru.yaml` beside an encoder, a bag of
tokens and the same linear peer. The GRU's training sets the CPU time that each other net may take, in whole
epochs; the epoch that was best on validation is kept. The goal is that a cell is within two points of the
best.

All answer the same test rows, so their differences are paired row by row.
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
from lichen.engine.scores import intervals

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
GOALS = {"ag_news": {"accuracy": 0.895, "gain": 0.01}, "sst2": {"gap": 0.02}}
"""AG News: the better life's test accuracy, and by how much it is above the peer. SST-2: by how much the
better cell may be below the best of all."""
QUICK = {"ag_news": 1500, "sst2": 3000}
"""Train rows of the smaller version."""
SCRATCH: dict[str, Any] = {
    "net": "bag", "net_options": {"width": 96, "dropout": 0.5}, "task": "text_classification", "epochs": 8,
    "optimizer": "adamw", "rate": 0.005, "weight_decay": 0.05, "precision": "float32",
}  # fmt: skip
NETS: dict[str, dict[str, Any]] = {
    "gru": {}, "lstm": {"net": "lstm"},
    "encoder": {"net": "encoder", "optimizer": "muon_adamw", "rate": 0.001, "warmup": 0.2},
    "bag": {"net": "bag"},
}  # fmt: skip
"""What each says otherwise than the GRU's recipe; the first sets the time."""
PROBED = 6000
"""Rows of the epoch that says how long an epoch of a net takes."""
MOST_EPOCHS = 20


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
    told = {line.step: dict(line.options) for line in recipefile.read(str(RECIPES / "ag_news.yaml")).lines}
    model = li.pretrain.adopt(**told["pretrain.adopt"])
    model = li.adapt.head(model, data, **told["adapt.head"])
    less = {"freeze": "body", "epochs": 1} if is_quick else {}
    return li.adapt.finetune(model, data, **{**told["adapt.finetune"], **less})


def scratch(data: li.Dataset, *, is_quick: bool) -> li.Model:
    options = {**SCRATCH, "epochs": 2} if is_quick else SCRATCH
    return li.pretrain.train(data, li.prepare.bpe(data, size=16_000), **options)


LIVES = {"scratch": scratch, "pretrained": pretrained}


def figures_of(data: li.Dataset, names: Sequence[str], *, is_quick: bool) -> dict[str, Any]:
    """AG News: each life's figures, with its gain over the peer."""
    theirs_N, found = peer_figures(data, is_quick=is_quick)
    for name in names:
        start = time.process_time()
        model = LIVES[name](data, is_quick=is_quick)
        ours_N, figures = judged(model, data, start)
        gain_N = ours_N - theirs_N
        low, high = intervals.paired(gain_N)
        found[name] = {**figures, "gain": float(gain_N.mean()), "low": low, "high": high}
        print(name, found[name], flush=True)
    return found


def peer_figures(data: li.Dataset, *, is_quick: bool) -> tuple[np.ndarray, dict[str, Any]]:
    start = time.process_time()
    theirs_N, chosen = peer(data, is_quick=is_quick)
    found = {"accuracy": float(theirs_N.mean()), "cpu_s": time.process_time() - start,
             "options": {name: str(given) for name, given in chosen.items()}}  # fmt: skip
    print("peer", found, flush=True)
    return theirs_N.astype(np.float64), {"peer": found}


def judged(model: li.Model, data: li.Dataset, start: float) -> tuple[np.ndarray, dict[str, Any]]:
    """Whether each test row is answered rightly; the accuracy, and the CPU seconds since the start."""
    cpu_s = time.process_time() - start
    scores = li.evaluate(model, data, split="test")
    return scores.answers()["outcome"].numpy().astype(np.float64), {"accuracy": scores.value, "cpu_s": cpu_s}


def at_equal_time(data: li.Dataset, *, is_quick: bool) -> dict[str, Any]:
    """SST-2: each net's figures, with how far it is below the best of all and how sure that is."""
    theirs_N, found = peer_figures(data, is_quick=is_quick)
    outcomes = {"peer": theirs_N}
    told = {line.step: dict(line.options) for line in recipefile.read(str(RECIPES / "sst2_gru.yaml")).lines}
    teller = li.prepare.bpe(data, **told["prepare.bpe"])
    options = {name: given for name, given in told["pretrain.train"].items() if name != "tokenizer"}
    if is_quick:
        options["epochs"] = 1
    for name, own in NETS.items():
        said = {**options, **own}
        if own:
            said |= {
                "epochs": epochs_within(found["gru"]["cpu_s"], data, teller, said),
                "patience": MOST_EPOCHS,
            }
        start = time.process_time()
        outcomes[name], figures = judged(li.pretrain.train(data, teller, **said), data, start)
        found[name] = {**figures, "epochs": said["epochs"]}
        print(name, found[name], flush=True)
    best = max(found, key=lambda name: found[name]["accuracy"])
    for name, figures in found.items():
        gap_N = outcomes[best] - outcomes[name]
        low, high = intervals.paired(gap_N) if name != best else (0.0, 0.0)
        figures |= {"gap": float(gap_N.mean()), "low": low, "high": high}
    return found


def epochs_within(cpu_s: float, data: li.Dataset, teller: li.Model, options: dict[str, Any]) -> int:
    """Whole epochs that a net may train for in so much CPU time, by one over some of the rows."""
    few = li.load("sst2", num_train=min(PROBED, data.num_rows("train")))
    start = time.process_time()
    li.pretrain.train(few, teller, **{**options, "epochs": 1})
    epoch_s = (time.process_time() - start) * data.num_rows("train") / few.num_rows("train")
    return min(MOST_EPOCHS, max(1, round(cpu_s / epoch_s)))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows and epochs; no goal")
    parser.add_argument("--case", choices=sorted(GOALS), default="ag_news")
    parser.add_argument("--only", choices=sorted(LIVES), help="one of the lives of ag_news")
    told = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, li.opened(Path(folder) / ".lichen"):
        try:
            data = li.load(told.case, num_train=QUICK[told.case] if told.quick else None)
        except li.LichenError as error:
            sys.exit(f"error: needs LICHEN_DATA with {told.case}: {error}")
        if told.case == "sst2":
            figures = at_equal_time(data, is_quick=told.quick)
        else:
            figures = figures_of(data, [told.only] if told.only else list(LIVES), is_quick=told.quick)
    is_ok = not told.quick and reached(told.case, figures)
    print(json.dumps({"bench": "texts", "case": told.case, "figures": figures, "goal": GOALS[told.case],
                      "ok": is_ok}))  # fmt: skip


def reached(case: str, figures: dict[str, Any]) -> bool:
    """Whether what was found is what was aimed at."""
    goal = GOALS[case]
    if case == "sst2":
        return min(figures[cell]["gap"] for cell in ("gru", "lstm")) <= goal["gap"]
    best = max((own for name, own in figures.items() if name != "peer"), key=lambda own: own["accuracy"])
    return all(best[name] >= least for name, least in goal.items())


if __name__ == "__main__":
    main()
