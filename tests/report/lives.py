"""lives: small lives with a store, for the tests of reports."""

from __future__ import annotations

import numpy as np

from lichen.core import life, recipefile, session, tally
from lichen.data.png import encode

DIGITS = """
lichen: 1
data: digits
steps:
  - augment.policy: {ops: [shift, rotate]}
  - pretrain.train: {net: mlp, epochs: 3, precision: float32}
  - deploy.export: {}
"""
PICTURES = """
lichen: 1
data: {source: SOURCE}
steps:
  - pretrain.train: {net: mlp, epochs: 1, precision: float32}
"""
ABLATION = {
    "metric": "accuracy",
    "whole": 0.9,
    "num_rows": 120,
    "num_seeds": 3,
    "level": 0.95,
    "kept": ["prepare.load"],
    "rows": [
        {"step": "augment.policy", "worth": 0.031, "low": 0.01, "high": 0.052, "verdict": "helps"},
        {
            "step": "compress.prune",
            "worth": -0.02,
            "low": -0.03,
            "high": -0.01,
            "verdict": "harms",
            "parameters": [100, 400],
            "size_bytes": [400, 1600],
        },
    ],
}


def compression(program):
    """What a study of compression says of a program, of a smaller form of it and of one that was refused."""
    made = {
        "low": -0.01,
        "high": 0.03,
        "memory_bytes": None,
        "is_front": True,
        "is_exact": False,
        "refused": "",
        "steps": [],
    }
    points = [
        {
            **made, "words": "quantize float32 onnxruntime", "digest": program.digest, "quality": 0.9,
            "drop": 0.0, "latency_ms": 1.0, "size_bytes": 9000, "is_exact": True,
        },
        {
            **made, "words": "prune 2, quantize int8 openvino", "digest": 64 * "a", "quality": 0.89,
            "drop": 0.01, "latency_ms": 0.25, "size_bytes": 2000, "refused": "may have lost 0.0300",
        },
        {**made, "words": "prune 8", "digest": None, "quality": None, "refused": "<b>7 times at most</b>"},
    ]  # fmt: skip
    return {
        "metric": "accuracy",
        "whole": 0.9,
        "num_rows": 120,
        "asked": {"profile": {"words": "a machine of threads 1"}},
        "points": points,
        "verdict": "cannot: speedup 3",
    }


def live(text, folder, *, test=True, study=None):
    """Runs a recipe as `lichen run` does; the value it ends with."""
    with session.opened(folder) as opened:
        told = recipefile.parse(text)
        chain = life.run(told, opened, lambda line, result, chain: _row(line, result, chain, opened))
        value, data = chain.current["model"], chain.current["data"]
        if test:
            tally.evaluate(value, data, "test", opened)
        if study:
            opened.events.emit("study", study="ablate", digest=value.digest, found=study)
            opened.events.emit("study", study="compress", digest="of a Model", found=compression(value))
    return value


def _row(line, result, chain, opened):
    for value in life.fields_of(result).values():
        tally.row(line.step, value, chain.current["data"], opened)


def pictures(folder, labels, names, per_label=12, side=8):
    """A folder of PNGs per split and label; file names from `names`, numbered."""
    draws = np.random.Generator(np.random.Philox(1))
    for split in ("train", "validation", "test"):
        for place, label in enumerate(labels):
            (folder / split / label).mkdir(parents=True)
            for number in range(per_label):
                pixels = draws.integers(0, 120, (3, side, side)).astype("uint8")
                pixels[place % 3] += 100
                (folder / split / label / f"{number:03d}{names}.png").write_bytes(encode(pixels))
    return folder
