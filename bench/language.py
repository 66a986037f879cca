"""language: tinyshakespeare in nanoGPT's CPU setting, by a plain loop and by lichen, in turns.

The reference is that setting in words of our own: 4 layers of width 128 with 4 heads, 64 characters read,
batches of 12, AdamW, 2 000 steps, the first nine tenths of the text to learn from. It is published at a
validation loss of 1.88 nats per character, and spends nothing here on asking validation as it goes.

lichen trains a net of the same layers, heads and width on the same text, and its time is all of a life:
reading, the tokenizer, measuring, judging. Its rows are 64 tokens of byte pairs instead of 64 characters;
losses of both are nats per character of the whole last tenth, told in rows that do not overlap, so that only
what is told counts and not in which pieces. `bytes` is the same life without pairs, for comparison; it has no
goal.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import interleaved

RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "shakespeare.yaml"
LAPS = 5
READ, BATCH, NUM_STEPS = 64, 12, 2000
GOALS = {"fifth": {"loss": 1.88, "cpu_share": 0.2}, "equal": {"loss": 1.60, "cpu_share": 1.0}}
"""Of each of lichen's lives: its loss, and its CPU seconds over the reference's, at most."""
LIVES = {
    "fifth": {"steps": 50, "size": 1024},
    "equal": {"steps": 450, "size": 1024},
    "bytes": {"steps": 450, "size": 260},
}
SIDES = ("reference", *LIVES)


# The reference.


def network(num_letters: int) -> Any:
    """A decoder as of 2019: learnt places, layer norms, GELU, the head tied to the letters."""
    import torch
    from torch import nn
    from torch.nn import functional

    width, heads, depth = 128, 4, 4

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
            self.read, self.write = (
                nn.Linear(width, 3 * width, bias=False),
                nn.Linear(width, width, bias=False),
            )
            self.up = nn.Linear(width, 4 * width, bias=False)
            self.down = nn.Linear(4 * width, width, bias=False)

        def forward(self, x: Any) -> Any:
            q, k, v = self.read(self.first(x)).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
            seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.write(seen.transpose(1, 2).flatten(2))
            return x + self.down(functional.gelu(self.up(self.second(x))))

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.letters, self.places = nn.Embedding(num_letters, width), nn.Embedding(READ, width)
            self.blocks = nn.Sequential(*(Block() for _ in range(depth)))
            self.norm = nn.LayerNorm(width, bias=False)
            for name, parameter in self.named_parameters():
                if parameter.ndim == 2:
                    is_last = name.endswith(("write.weight", "down.weight"))
                    nn.init.normal_(parameter, std=0.02 / (math.sqrt(2 * depth) if is_last else 1.0))

        def forward(self, x: Any) -> Any:
            x = self.letters(x) + self.places(torch.arange(x.shape[1]))
            return functional.linear(self.norm(self.blocks(x)), self.letters.weight)

    return Network()


def reference(folder: Path, gate: interleaved.Gate, scale: float) -> None:
    """Rows drawn anywhere in the train text; warmup of 100 steps, then a cosine to a tenth."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(1)
    torch.manual_seed(1337)
    train, validation = ((folder / f"{name}.txt").read_text() for name in ("train", "validation"))
    letters = {letter: number for number, letter in enumerate(sorted(set(train + validation)))}
    numbers, held = (torch.tensor([letters[letter] for letter in text]) for text in (train, validation))
    gate.open()
    net = network(len(letters))
    groups = [
        {"params": [p for p in net.parameters() if p.ndim == 2], "weight_decay": 0.1},
        {"params": [p for p in net.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99))
    num_steps = round(NUM_STEPS * scale)
    for step in range(num_steps):
        part = (step - 100) / max(1, num_steps - 100)
        share = (step + 1) / 101 if step < 100 else 0.1 + 0.45 * (1.0 + math.cos(math.pi * part))
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * share
        starts = torch.randint(len(numbers) - READ, (BATCH,))
        rows = torch.stack([numbers[start : start + READ + 1] for start in starts])
        loss = functional.cross_entropy(net(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % (num_steps // LAPS) == 0 and (step + 1) // (num_steps // LAPS) <= LAPS:
            gate()
    gate.end()
    with torch.no_grad():
        rows = held[: (len(held) - 1) // READ * READ].view(-1, READ)
        told = held[1 : rows.numel() + 1].view(-1, READ)
        losses = [functional.cross_entropy(net(x).flatten(0, 1), y.flatten(), reduction="sum").item()
                  for x, y in zip(rows.split(256), told.split(256), strict=True)]  # fmt: skip
    gate.tell(loss=sum(losses) / rows.numel(), tokens=num_steps * BATCH * READ)


# lichen.


def life(folder: Path, gate: interleaved.Gate, scale: float, *, steps: int, size: int) -> None:
    """The recipe's options with another number of steps, and of tokens."""
    import lichen as li
    from lichen.core import recipefile
    from lichen.steps.assess import evaluate  # noqa: F401 - what steps import is loaded, as the reference's is
    from lichen.steps.prepare import bpe, load  # noqa: F401
    from lichen.steps.pretrain import language  # noqa: F401

    def sink(event: Mapping[str, Any]) -> None:
        if event["kind"] == "history":
            gate()
        elif event["kind"] == "decision":
            decisions[event["name"]] = event["choice"]

    decisions: dict[str, Any] = {}
    gate.open()
    options = dict(recipefile.read(str(RECIPE)).lines[-1].options)
    options.update(steps=max(LAPS, round(steps * scale)), rounds=LAPS)
    with li.opened(folder / f"{size}-{steps}.lichen", sinks=(sink,)):
        data = li.load(folder / "text", unit="passage", test=0.0, duplicates="keep")
        model = li.pretrain.language(data, li.prepare.bpe(data, size=size), **options)
        gate.end()
        scores = li.evaluate(model, data)
    low, high = scores.interval
    nats = {"loss": scores.value, "low": low, "high": high}
    gate.tell(**{name: value * math.log(2) for name, value in nats.items()}, decisions=decisions)


# Both.


def side(name: str, folder: Path, scale: float) -> None:
    gate = interleaved.Gate()
    if name == "reference":
        reference(folder / "text", gate, scale)
    else:
        life(folder, gate, scale, **LIVES[name])


def text() -> str:
    root = Path(os.environ.get("LICHEN_DATA") or sys.exit("error: needs LICHEN_DATA with tinyshakespeare"))
    return next((root / "tinyshakespeare").glob("*.txt")).read_text()


def report(found: Mapping[str, interleaved.Laps]) -> dict[str, Any]:
    whole = sum(found["reference"].cpu_s)
    figures = {
        name: {"cpu_s": sum(laps.cpu_s), "cpu_share": sum(laps.cpu_s) / whole, **laps.facts}
        for name, laps in found.items()
    }
    for name, own in figures.items():
        print(f"{name:10} {own['loss']:.4f} nats per character, CPU {own['cpu_s']:7.1f} s, "
              f"{own['cpu_share']:.2f} of the reference's")  # fmt: skip
    return figures


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a fortieth of the steps; no goal")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    told = parser.parse_args(argv)
    scale = 1 / 40 if told.quick else 1.0
    if told.side:
        side(told.side, told.folder, scale)
        return
    with tempfile.TemporaryDirectory() as name:
        folder, whole = Path(name), text()
        cut = len(whole) * 9 // 10
        (folder / "text").mkdir()
        (folder / "text" / "train.txt").write_text(whole[:cut])
        (folder / "text" / "validation.txt").write_text(whole[cut:])
        more = ["--folder", str(folder), *(["--quick"] if told.quick else [])]
        found = interleaved.compare(__file__, SIDES, more, epochs=LAPS, folder=folder, note=print)
    figures = report(found)
    is_ok = not told.quick and all(
        figures[name][what] <= most for name, goal in GOALS.items() for what, most in goal.items()
    )
    print(json.dumps({"bench": "language", "figures": figures, "goal": GOALS, "ok": is_ok}))


if __name__ == "__main__":
    main()
