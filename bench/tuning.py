"""tuning: LoRA on conversations of very different lengths, by Hugging Face Trainer with peft and by lichen.

A language model learns to answer: topics of news, moods of phrases, German for English, how articles go on.
Every side starts from the same Llama, reads the same conversations through the same template, cut off at the
same length, counts answers alone in the loss, and learns by the same LoRA, rate and schedule for as many
epochs. The peer stands here twice:
  trainer: TrainingArguments and LoraConfig at their defaults, but for the rate and the epochs
  trainer_best: bf16 where the CPU has it, and train_sampling_strategy="group_by_length", as documented
Both are handed their tokens; lichen's time has reading, templates, the tokenizer and packing in it.

Useful tokens are those of prompts and answers; what fills batches up is not counted. Sides run by turns, one
epoch each, on one core; the first epoch (set-up, what lichen measures) counts in the whole run only. Peak
memory is that of the process above what it had after its imports, up to the end of training.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

from interleaved import Gate, Laps, compare

SIDES = ("lichen", "trainer", "trainer_best")
RANK, ALPHA, RATE, BATCH = 8, 8, 1e-3, 8
"""peft's own rank and alpha, Trainer's own batch; its own rate of 5e-5 is one for all weights."""
GOAL, MOST_MEMORY, MARGIN = 4.0, 0.5, 0.02
"""Times the useful tokens per second of the defaults; share of their memory; what a loss may be above."""
PACKAGES = ("torch", "transformers", "accelerate", "peft")
PAD = "<|pad|>"
"""Fills batches up where the tokenizer was learnt here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How large: of the base where none is given, and of the data."""

    depth: int
    width: int
    size: int
    base_steps: int
    num_train: int
    num_validation: int
    epochs: int
    max_tokens: int


FULL = Plan(
    depth=6, width=384, size=8192, base_steps=100, num_train=160, num_validation=96, epochs=3, max_tokens=512
)
QUICK = Plan(
    depth=4, width=128, size=2048, base_steps=40, num_train=160, num_validation=48, epochs=3, max_tokens=256
)
TINY = Plan(
    depth=2, width=32, size=400, base_steps=4, num_train=24, num_validation=8, epochs=2, max_tokens=128
)


# The data and the base, made once and the same for all.


def conversations(num_rows: int, split: str) -> list[dict[str, str]]:
    """Questions and answers of four kinds in turn, from a few words to hundreds."""
    import pyarrow.parquet as pq

    root = Path(os.environ.get("LICHEN_DATA") or sys.exit("error: needs LICHEN_DATA with ag_news, sst2, ..."))

    def rows(name: str) -> list[dict[str, str]]:
        path = root / name / f"{split}.parquet"
        return pq.read_table(path if path.is_file() else root / name / "test.parquet").to_pylist()

    kinds = [
        [("Which topic is this: World, Sports, Business or Sci/Tech?\n" + row["text"], row["label"])
         for row in rows("ag_news")],
        [(f"Is this kind or unkind? {row['text']}", "kind" if row["label"] in (1, "1") else "unkind")
         for row in rows("sst2")],
        [(f"In German: {row['en']}", row["de"]) for row in rows("multi30k")],
        [(f"Go on: {line[:200].strip()}", line[200:1600].strip())
         for row in rows("wikitext2") for line in row["text"].split("\n") if len(line) >= 400],
    ]  # fmt: skip
    return [
        dict(zip(("prompt", "answer"), kinds[row % 4][row // 4 % len(kinds[row % 4])], strict=True))
        for row in range(num_rows)
    ]


def make(folder: Path, plan: Plan, base: str | None) -> None:
    """The base for both sides, and the conversations: as lines of JSON, and as tokens."""
    import lichen as li
    from lichen.data import chat

    rows = {"train": conversations(plan.num_train, "train"),
            "validation": conversations(plan.num_validation, "validation")}  # fmt: skip
    for split, held in rows.items():
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in held))
    with li.opened(folder / "made.lichen"):
        model = base_of(plan, base, sorted({text for row in rows["train"] for text in row.values()}))
    save(model, folder)
    spoken = chat.of(model.assets)
    for split, held in rows.items():
        (folder / f"{split}.tokens.json").write_text(json.dumps([tokens(spoken, row, plan) for row in held]))


def base_of(plan: Plan, base: str | None, said: Sequence[str]) -> Any:
    """A Llama with a template: the one that was named, or a small one made here."""
    import lichen as li
    from lichen.data import chat

    if base is not None:
        model = li.pretrain.adopt(source=base)
    else:
        texts = li.load(str(Path(os.environ["LICHEN_DATA"]) / "wikitext2"), num_train=300)
        teller = li.prepare.bpe(li.texts(said), size=plan.size)
        heads = plan.width // 64 or 1
        model = li.pretrain.language(
            texts, teller, steps=plan.base_steps, max_tokens=plan.max_tokens, rounds=1, batch_size=2,
            net_options={"depth": plan.depth, "width": plan.width, "num_heads": heads, "mlp": "swiglu",
                         "num_kv_heads": max(1, heads // 3), "qk_norm": False},
        )  # fmt: skip
    if model.assets.get("template"):
        return model
    assets = {**model.assets, "template": chat.plain(model.assets["tokenizer"])}
    return model.with_weights(model.weights(), assets=assets)


def save(model: Any, folder: Path) -> None:
    """The base for lichen, and as a folder for transformers."""
    from lichen.engine.language import llamafolder

    model.save(folder / "base.lichen")
    (folder / "llama").mkdir()
    llamafolder.write(model, folder / "llama")


def tokens(spoken: Any, row: Mapping[str, str], plan: Plan) -> dict[str, list[int]]:
    """What Trainer is handed: numbers, and labels that are -100 where nothing is told."""
    read, told = spoken.told([{"role": "user", "content": row["prompt"]},
                              {"role": "assistant", "content": row["answer"]}])  # fmt: skip
    read, told = read[: plan.max_tokens].tolist(), told[: plan.max_tokens].tolist()
    ids, theirs = [~read[0], *read[1:], told[-1] or read[-1]], spoken.tokenizer.traded
    return {"input_ids": [theirs(number) for number in ids],
            "labels": [-100, *(theirs(number) if number else -100 for number in told)]}  # fmt: skip


# The sides.


def memory_MB(what: str) -> float:
    """`VmRSS`, what the process holds now, or `VmHWM`, the most it held since that was last reset."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1000


def has_bfloat16() -> bool:
    """Whether the CPU computes in it; emulated it takes many times as long as float32."""
    return bool({"avx512_bf16", "amx_bf16"} & set(Path("/proc/cpuinfo").read_text().split()))


def opened(gate: Gate, **facts: Any) -> float:
    """Waits for the first turn with one core and all imports done; what the process holds then."""
    import torch

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    gate.open(**facts)
    Path("/proc/self/clear_refs").write_text("5")
    return memory_MB("VmRSS")


def lichen(folder: Path, gate: Gate, plan: Plan) -> dict[str, Any]:
    import peft  # noqa: F401 - what the step imports is loaded, as the peer's is

    import lichen as li
    from lichen.steps.adapt import instruct  # noqa: F401
    from lichen.steps.assess import evaluate  # noqa: F401
    from lichen.steps.prepare import load  # noqa: F401

    def sink(event: Mapping[str, Any]) -> None:
        if event["kind"] == "history":
            gate()
        elif event["kind"] == "decision":
            decisions[event["name"]] = event["choice"]
        elif event["kind"] == "note":
            notes.append(event["text"])

    decisions: dict[str, Any] = {}
    notes: list[str] = []
    held = opened(gate)
    with li.opened(folder / "side.lichen", sinks=(sink,)):
        base = li.open(folder / "base.lichen")
        data = li.load(str(folder / "train.jsonl"), validation=0.0, test=0.0, duplicates="keep")
        mean = useful(folder)["train"] / plan.num_train
        model = li.adapt.instruct(
            base, data, method="lora", rank=RANK, alpha=ALPHA, targets=["query", "value"], rate=RATE,
            epochs=plan.epochs, schedule="linear", warmup=0.0, weight_decay=0.0, max_tokens=plan.max_tokens,
            batch_tokens=max(plan.max_tokens, round(BATCH * mean / plan.max_tokens) * plan.max_tokens),
        )  # fmt: skip
        gate.end()
        peak = memory_MB("VmHWM") - held
        whole = li.load(str(folder / "validation.jsonl"), validation=1.0 - 1e-9, test=0.0, duplicates="keep")
        loss = li.evaluate(model, whole)["loss"]
    return {"loss": loss, "peak_MB": peak, "decisions": decisions, "notes": notes}


def trainer(folder: Path, gate: Gate, plan: Plan, *, is_best: bool) -> dict[str, Any]:
    import peft
    import torch
    import transformers
    from torch.nn import functional

    class Turns(transformers.TrainerCallback):
        def on_epoch_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            gate()

    class Filled(transformers.DataCollatorForSeq2Seq):
        def __call__(self, features: Any, return_tensors: Any = None) -> Any:
            made = super().__call__(features, return_tensors)
            filled.append(made["input_ids"].numel())
            return made

    filled: list[int] = []
    rows = {
        split: json.loads((folder / f"{split}.tokens.json").read_text()) for split in ("train", "validation")
    }
    held = opened(gate)
    net = transformers.AutoModelForCausalLM.from_pretrained(folder / "llama")
    teller = teller_of(folder, net)
    net = peft.get_peft_model(net, peft.LoraConfig(r=RANK, lora_alpha=ALPHA, task_type="CAUSAL_LM"))
    best = {"bf16": has_bfloat16(), "train_sampling_strategy": "group_by_length"} if is_best else {}
    arguments = transformers.TrainingArguments(
        str(folder / "out"), num_train_epochs=plan.epochs, learning_rate=RATE, use_cpu=True,
        disable_tqdm=True, per_device_train_batch_size=BATCH, **best,
    )  # fmt: skip
    transformers.Trainer(
        model=net, args=arguments, train_dataset=rows["train"], callbacks=[Turns()],
        data_collator=Filled(tokenizer=teller),
    ).train()  # fmt: skip
    gate.end()
    peak = memory_MB("VmHWM") - held
    total = count = 0.0
    net.eval()
    with torch.no_grad():
        for row in rows["validation"]:
            logits = net(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1]
            told = torch.tensor(row["labels"][1:])
            total += functional.cross_entropy(logits.float(), told, reduction="sum").item()
            count += int((told != -100).sum())
    share = useful(folder)["train"] * plan.epochs / sum(filled)
    return {"loss": total / count, "peak_MB": peak, "useful_share": share}


def teller_of(folder: Path, net: Any) -> Any:
    """The folder's tokenizer as transformers has it, with an end and something that fills up."""
    import transformers

    teller = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "llama" / "tokenizer.json"))
    stops = net.config.eos_token_id
    teller.eos_token = teller.convert_ids_to_tokens(stops if isinstance(stops, int) else stops[-1])
    teller.pad_token = PAD if PAD in teller.get_vocab() else teller.eos_token  # others' has none to spare
    return teller


def useful(folder: Path) -> dict[str, int]:
    """Tokens of prompts and answers that are read."""
    held = {
        split: json.loads((folder / f"{split}.tokens.json").read_text()) for split in ("train", "validation")
    }
    return {split: sum(len(row["input_ids"]) - 1 for row in rows) for split, rows in held.items()}


def side(name: str, folder: Path, plan: Plan) -> None:
    gate = Gate()
    if name == "lichen":
        gate.tell(**lichen(folder, gate, plan))
    else:
        gate.tell(**trainer(folder, gate, plan, is_best=name == "trainer_best"))


# All of them.


def report(found: Mapping[str, Laps], num_tokens: int, epochs: int, sides: Sequence[str]) -> dict[str, Any]:
    """The figures of each side, and of the first over the others."""
    figures: dict[str, Any] = {}
    for name, laps in found.items():
        steady_s, steady_cpu_s = (median(taken[1:epochs] or taken[:1]) for taken in (laps.wall_s, laps.cpu_s))
        figures[name] = {
            "useful_tokens_per_s": num_tokens / steady_s,
            "useful_tokens_per_cpu_s": num_tokens / steady_cpu_s,
            "whole_run_s": sum(laps.wall_s), **laps.facts,
        }  # fmt: skip
        own = figures[name]
        print(f"{name:13} {own['useful_tokens_per_s']:8.1f} useful tokens/s (by CPU"
              f" {own['useful_tokens_per_cpu_s']:.1f}), whole {own['whole_run_s']:.1f} s,"
              f" loss {own['loss']:.4f}, peak {own['peak_MB']:.0f} MB above imports")  # fmt: skip
    for name in sides[1:]:
        ours, theirs = figures[sides[0]], figures[name]
        figures[f"over_{name}"] = {
            "speed": ours["useful_tokens_per_s"] / theirs["useful_tokens_per_s"],
            "cpu_speed": ours["useful_tokens_per_cpu_s"] / theirs["useful_tokens_per_cpu_s"],
            "memory": ours["peak_MB"] / theirs["peak_MB"], "loss": ours["loss"] - theirs["loss"],
        }  # fmt: skip
        print(name, {key: round(value, 3) for key, value in figures[f"over_{name}"].items()})
    return figures


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small base and few conversations; no goal")
    parser.add_argument("--tiny", action="store_true", help="only to see that it runs")
    parser.add_argument("--base", help="a folder with a Llama, or hf/NAME; made here if not given")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    told = parser.parse_args(argv)
    plan = TINY if told.tiny else QUICK if told.quick else FULL
    if told.side:
        side(told.side, told.folder, plan)
        return
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, plan, told.base)
        num_tokens = useful(folder)["train"]
        print(f"{versions}; one core; {plan}; {num_tokens} useful tokens per epoch", flush=True)
        size = ["--tiny"] if told.tiny else ["--quick"] if told.quick else []
        found = compare(
            __file__, SIDES, ["--folder", name, *size], epochs=plan.epochs, folder=folder, note=print
        )
    figures = report(found, num_tokens, plan.epochs, SIDES)
    over = figures["over_trainer"]
    is_ok = over["speed"] >= GOAL and over["memory"] <= MOST_MEMORY and over["loss"] <= MARGIN
    goal = (
        f"{GOAL}x the useful tokens/s of the defaults at {MOST_MEMORY} of their memory, loss within {MARGIN}"
    )
    print(
        json.dumps({"bench": "tuning", "figures": figures, "goal": goal, "ok": bool(is_ok and plan == FULL)})
    )


if __name__ == "__main__":
    main()
