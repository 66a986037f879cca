"""translate: Multi30k English to German from scratch, by a plain loop and by lichen, in turns.

Both know the 29 000 train pairs and nothing else, and are judged by sacrebleu (13a) on the 1 000 captions of
2016's test set, told by the same beam. `lichen` is `recipes/translate.yaml` as it is: its time is all of a
life, reading, the tokenizer, measuring, judging. The peer is torch's own nn.Transformer of the same depth,
width and vocabulary, with its norms behind layers, Adam with Vaswani et al.'s rates, rows drawn at random and
padded to one length; it is handed tokens that are ready. `trimmed` is its better form, each batch padded to
its own longest text. Peers train for as many CPU minutes as lichen may take.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import interleaved
import numpy as np

RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "translate.yaml"
FILES = ("train", "validation", "test_2016_flickr")
LAPS = 4
GOAL = {"bleu": 30.0, "cpu_minutes": 90.0}
SIDES = ("plain", "lichen", "trimmed")
QUICK = {
    "rows": {"train": 600, "validation": 60, "test_2016_flickr": 40}, "size": 500, "minutes": 0.1,
    "options": {"net_options": {"depth": 1, "width": 64}, "epochs": LAPS, "batch_size": 32},
}  # fmt: skip
PAD, END = 0, 1


# What both sides read.


def prepared(folder: Path, *, is_quick: bool) -> None:
    """The tables, their tokens, and the recipe's options."""
    import pyarrow.parquet as pq

    import lichen as li
    from lichen.core import recipefile
    from lichen.data import pairing, tokenizer, tokens

    root = Path(os.environ.get("LICHEN_DATA") or sys.exit("error: needs LICHEN_DATA with multi30k"))
    (folder / "pairs").mkdir()
    for name in FILES:
        table = pq.read_table(root / "multi30k" / f"{name}.parquet", columns=["en", "de"])
        pq.write_table(
            table[: QUICK["rows"][name]] if is_quick else table, folder / "pairs" / f"{name}.parquet"
        )
    lines = recipefile.read(str(RECIPE)).lines
    options = {**dict(lines[-1].options), **(QUICK["options"] if is_quick else {})}
    size = QUICK["size"] if is_quick else lines[-2].options["size"]
    data = li.load(str(folder / "pairs"), text="en", target="de")
    asset = li.prepare.bpe(data, size=size).assets["tokenizer"]
    teller = tokenizer.of(asset)
    longest = tokens.longest(data.rows("train"), teller)
    rows = pairing.Pairs(data.rows("train"), teller, longest)
    asked = [pairing.asked(teller, source, longest) for source in data.rows("test").sources]
    np.savez(folder / "tokens.npz", train=rows.whole(), test=np.stack(asked))
    facts = {"size": size, "options": options, "tokenizer": dict(asset), "vocabulary": teller.size,
             "wanted": data.rows("test").wanted}  # fmt: skip
    (folder / "facts.json").write_text(json.dumps(facts))


def figures_of(said: Sequence[str], wanted: Sequence[str]) -> dict[str, Any]:
    from lichen.engine.scores import bleu

    found = bleu.judged(said, wanted)[0]
    return {
        name: {"value": one["value"], "low": one["low"], "high": one["high"]} for name, one in found.items()
    }


# The peer.


def network(vocabulary: int, longest: int, options: Mapping[str, Any]) -> Any:
    """nn.Transformer with learnt places, one table of tokens and a head tied to it."""
    import math

    import torch
    from torch import nn
    from torch.nn import functional

    width, depth, dropout = options["width"], options["depth"], options.get("dropout", 0.1)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(longest, width)
            nn.init.normal_(self.tokens.weight, std=width**-0.5)
            nn.init.normal_(self.places.weight, std=0.02)
            self.dropout = nn.Dropout(dropout)
            self.body = nn.Transformer(
                width, max(1, width // 32), depth, depth, 4 * width, dropout, batch_first=True
            )

        def vectors(self, tokens: Any) -> Any:
            places = self.places(torch.arange(tokens.shape[1]))
            return self.dropout(self.tokens(tokens) * math.sqrt(width) + places)

        def read(self, source: Any) -> Any:
            return self.body.encoder(self.vectors(source), src_key_padding_mask=source == PAD)

        def tell(self, target: Any, memory: Any, source: Any) -> Any:
            mask = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool).triu(1)
            told = self.body.decoder(
                self.vectors(target), memory, tgt_mask=mask, memory_key_padding_mask=source == PAD
            )
            return functional.linear(told, self.tokens.weight)

        def forward(self, source: Any, target: Any) -> Any:
            return self.tell(target, self.read(source), source)

    return Network()


class Telling:
    """The peer in the middle of telling targets, each from its first token."""

    def __init__(self, net: Any, source: Any) -> None:
        self.net, self.source, self.memory, self.past = net, source, net.read(source), None

    def next(self, newest: Any) -> Any:
        import torch

        self.past = newest[..., None] if self.past is None else torch.cat([self.past, newest[..., None]], -1)
        memory, source = (x.repeat_interleave(newest.shape[1], 0) for x in (self.memory, self.source))
        return self.net.tell(self.past.flatten(0, 1), memory, source)[:, -1].unflatten(0, newest.shape)

    def keep(self, texts: Any, parents: Any) -> None:
        self.past = self.past[texts].gather(1, parents[..., None].expand(-1, -1, self.past.shape[-1]))
        self.memory, self.source = self.memory[texts], self.source[texts]


def peer(folder: Path, gate: interleaved.Gate, minutes: float, *, is_trimmed: bool) -> None:
    import torch
    from torch.nn import functional

    torch.set_num_threads(1)
    torch.manual_seed(0)
    facts, tokens = json.loads((folder / "facts.json").read_text()), np.load(folder / "tokens.npz")
    options = facts["options"]
    source, target = (half.long() for half in torch.from_numpy(tokens["train"]).chunk(2, 1))
    gate.open()
    net = network(facts["vocabulary"], source.shape[1] + 1, options["net_options"])
    optimizer = torch.optim.Adam(net.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
    width, warmup, step, lap = options["net_options"]["width"], 2000, 0, 0
    start = time.process_time()
    while lap < LAPS:
        for chosen in torch.randperm(len(source)).split(options["batch_size"]):
            step += 1
            x, y = source[chosen], target[chosen]
            if is_trimmed:
                x, y = (half[:, : int((half != PAD).any(0).sum())] for half in (x, y))
            optimizer.param_groups[0]["lr"] = width**-0.5 * min(step**-0.5, step * warmup**-1.5)
            loss = functional.cross_entropy(
                net(x, y[:, :-1]).flatten(0, 1), y[:, 1:].flatten(), ignore_index=PAD, label_smoothing=0.1
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if time.process_time() - start >= (lap + 1) * minutes * 60 / LAPS:
                lap += 1
                gate()
                if lap == LAPS:
                    break
    gate.end()
    gate.tell(
        steps=step, epochs=step * options["batch_size"] / len(source), **_answered(net.eval(), facts, tokens)
    )


def _answered(net: Any, facts: Mapping[str, Any], tokens: Mapping[str, Any]) -> dict[str, Any]:
    """The peer's figures on the test set, told by lichen's beam."""
    import torch

    from lichen.data import pairing, tokenizer
    from lichen.engine.beam import Beam

    teller, said = tokenizer.of(facts["tokenizer"]), []
    for part in torch.from_numpy(pairing.halves(tokens["test"])[0]).long().split(64):
        cut = part[:, : int((part != PAD).any(0).sum())]
        most = [min(part.shape[1], 2 * length + 10) for length in (cut != PAD).sum(1).tolist()]
        found = Beam().search(Telling(net, cut), most, start=END, stops={END})
        said += [teller.decode(one[0].tokens) for one in found]
    return figures_of(said, facts["wanted"])


# lichen.


def life(folder: Path, gate: interleaved.Gate) -> None:
    import lichen as li
    from lichen.steps.assess import evaluate  # noqa: F401 - what steps import is loaded, as the peer's is
    from lichen.steps.prepare import bpe, load  # noqa: F401
    from lichen.steps.pretrain import train  # noqa: F401

    facts = json.loads((folder / "facts.json").read_text())
    options, decisions, curve = facts["options"], {}, []

    def sink(event: Mapping[str, Any]) -> None:
        if event["kind"] == "history":
            curve.append(event["bits_per_byte"])
            if len(curve) % lap == 0 and len(curve) // lap <= LAPS:
                gate()
        elif event["kind"] == "decision":
            decisions[event["name"]] = event["choice"]

    lap = options["epochs"] // LAPS
    gate.open()
    with li.opened(folder / "bench.lichen", sinks=(sink,)):
        data = li.load(str(folder / "pairs"), text="en", target="de")
        model = li.pretrain.train(data, li.prepare.bpe(data, size=facts["size"]), **options)
        gate.end()
        start = time.process_time()
        scores = li.evaluate(model, data, split="test")
    kept = ("value", "low", "high")
    found = {name: {what: scores.metrics[name][what] for what in kept} for name in ("bleu", "chrf")}
    gate.tell(**found, bits_per_byte=curve, decisions=decisions, epochs=options["epochs"],
              answering_cpu_s=time.process_time() - start)  # fmt: skip


# Both.


def report(found: Mapping[str, interleaved.Laps]) -> dict[str, Any]:
    figures = {name: {"cpu_minutes": sum(laps.cpu_s) / 60, **laps.facts} for name, laps in found.items()}
    for name, own in figures.items():
        bleu, chrf = own["bleu"], own["chrf"]["value"]
        print(f"{name:8} BLEU {bleu['value']:.2f} [{bleu['low']:.2f}, {bleu['high']:.2f}], chrF {chrf:.2f}, "
              f"{own['epochs']:.1f} epochs, CPU {own['cpu_minutes']:.1f} min")  # fmt: skip
    return figures


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few pairs, small nets, some seconds; no goal")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES[:2], help="default: plain lichen")
    parser.add_argument("--minutes", type=float, default=GOAL["cpu_minutes"], help="CPU minutes of a peer")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    told = parser.parse_args(argv)
    minutes = QUICK["minutes"] if told.quick else told.minutes
    if told.side == "lichen":
        return life(told.folder, interleaved.Gate())
    if told.side:
        return peer(told.folder, interleaved.Gate(), minutes, is_trimmed=told.side == "trimmed")
    with tempfile.TemporaryDirectory() as name:
        prepared(Path(name), is_quick=told.quick)
        more = ["--folder", name, "--minutes", str(minutes)]
        found = interleaved.compare(__file__, told.sides, more, epochs=LAPS, folder=Path(name), note=print)
    figures = report(found)
    own = figures.get("lichen")
    is_ok = bool(own and not told.quick and own["bleu"]["value"] >= GOAL["bleu"]
                 and own["cpu_minutes"] <= GOAL["cpu_minutes"])  # fmt: skip
    print(json.dumps({"bench": "translate", "figures": figures, "goal": GOAL, "ok": is_ok}))


if __name__ == "__main__":
    main()
