"""preferences: direct preference optimisation by trl and by lichen, of answers of very different lengths.

Of two answers the right one is chosen: the topic of a piece of news, the mood of a phrase, its German, how an
article goes on; the other has the same words in another order, or, where it is one word, is the answer to
another question of the kind. Every side starts from the same Llama and learns from the same pairs by the same
LoRA, beta, rate and schedule for as many epochs. The peer stands here twice:
  trl: DPOConfig and LoraConfig at their defaults (activations computed twice), but for the rate
  trl_best: chances of the base computed once, activations kept
Its default of bfloat16 is kept where the CPU has it; emulated it takes eight times as long.
All are judged by the same float32 code of transformers on pairs that none learnt from: how often the chosen
answer has the larger reward, and the loss.

Useful tokens are those of prompts and answers, a prompt counted with each of its answers. Sides run by turns,
one epoch each, on one core; the first epoch (set-up, the base's chances, what lichen measures) counts in the
whole run only. Peak memory is that of the process above what it had after its imports, until trained.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import tuning
from interleaved import Gate, compare
from tuning import TINY, Plan

SIDES = ("lichen", "trl", "trl_best")
RANK, ALPHA, RATE, BETA, BATCH = 8, 16, 1e-3, 0.1, 8
GOAL, MOST_MEMORY, MARGIN = 2.0, 0.5, 0.02
"""Times the useful tokens per second of the defaults; share of their memory; what a loss may be above."""

FULL = Plan(
    depth=4, width=256, size=4096, base_steps=100, num_train=160, num_validation=96, epochs=3, max_tokens=384
)
QUICK = Plan(
    depth=4, width=128, size=2048, base_steps=40, num_train=160, num_validation=48, epochs=3, max_tokens=256
)


def pairs(num_rows: int, split: str) -> list[dict[str, str]]:
    """Questions with the right answer, and with its words in no order or that of another question."""
    rows = tuning.conversations(max(4 * num_rows, 4000), split)
    found = []
    for place, row in enumerate(rows[:num_rows]):
        others = (rows[at % len(rows)]["answer"] for at in range(place + 4, place + len(rows), 4))
        words = row["answer"].split()
        draw = random.Random(place)
        mixed = " ".join(draw.sample(words, len(words)))
        wrong = mixed if len(set(words)) > 2 else next(answer for answer in others if answer != row["answer"])
        found.append({"prompt": row["prompt"], "chosen": row["answer"], "rejected": wrong})
    return found


def make(folder: Path, plan: Plan, base: str | None) -> None:
    """The base for all sides, and the pairs: as they are, as text in the template, and as tokens."""
    import lichen as li
    from lichen.data import chat

    rows = {
        "train": pairs(plan.num_train, "train"),
        "validation": pairs(plan.num_validation, "validation"),
    }
    with li.opened(folder / "made.lichen"):
        said = sorted({text for row in rows["train"] for text in row.values()})
        model = tuning.base_of(plan, base, said)
        taught = li.conversations(
            [{"prompt": row["prompt"], "answer": row["chosen"]} for row in rows["train"]]
        )
        model = li.adapt.instruct(model, taught, method="full", epochs=1, max_tokens=plan.max_tokens)
    tuning.save(model, folder)
    spoken = chat.of(model.assets)
    for split, held in rows.items():
        told = [{side: tuning.tokens(spoken, {"prompt": row["prompt"], "answer": row[side]}, plan)
                 for side in ("chosen", "rejected")} for row in held]  # fmt: skip
        (folder / f"{split}.tokens.json").write_text(json.dumps(told))
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in held))
        texts = [shown(spoken, row) for row in held]
        (folder / f"{split}.text.json").write_text(json.dumps(texts))


def shown(spoken: Any, row: Mapping[str, str]) -> dict[str, str]:
    """A pair in the words of the template: the prompt up to where an answer begins, and both answers."""
    whole = {side: spoken.render([{"role": "user", "content": row["prompt"]},
                                  {"role": "assistant", "content": row[side]}])
             for side in ("chosen", "rejected")}  # fmt: skip
    start = whole["chosen"].rindex(row["chosen"])
    return {"prompt": whole["chosen"][:start], **{side: text[start:] for side, text in whole.items()}}


def useful(folder: Path) -> int:
    held = json.loads((folder / "train.tokens.json").read_text())
    return sum(len(answer["input_ids"]) - 1 for row in held for answer in row.values())


# The sides.


def lichen(folder: Path, gate: Gate, plan: Plan) -> dict[str, Any]:
    import peft  # noqa: F401 - what the step imports is loaded, as the peer's is

    import lichen as li
    from lichen.engine.language import llamafolder
    from lichen.steps.adapt import dpo  # noqa: F401
    from lichen.steps.prepare import load  # noqa: F401

    def sink(event: Mapping[str, Any]) -> None:
        if event["kind"] == "history":
            gate()
        elif event["kind"] == "decision":
            decisions[event["name"]] = event["choice"]

    decisions: dict[str, Any] = {}
    held = tuning.opened(gate)
    with li.opened(folder / "side.lichen", sinks=(sink,)):
        base = li.open(folder / "base.lichen")
        data = li.load(str(folder / "train.jsonl"), validation=0.0, test=0.0, duplicates="keep")
        mean = useful(folder) / plan.num_train
        model = li.adapt.dpo(
            base, data, beta=BETA, method="lora", rank=RANK, alpha=ALPHA, targets=["query", "value"],
            rate=RATE, epochs=plan.epochs, warmup=0.0, max_tokens=plan.max_tokens,
            batch_tokens=max(1024, round(BATCH * mean / 512) * 512),
        )  # fmt: skip
        gate.end()
        peak = tuning.memory_MB("VmHWM") - held
        (folder / "own").mkdir()
        llamafolder.write(li.adapt.merge(model), folder / "own")
    return {**judged(folder, folder / "own"), "peak_MB": peak, "decisions": decisions}


def trl(folder: Path, gate: Gate, plan: Plan, *, is_best: bool) -> dict[str, Any]:
    import datasets
    import peft
    import transformers
    from trl import DPOConfig, DPOTrainer

    class Turns(transformers.TrainerCallback):
        def on_epoch_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            gate()

    rows = json.loads((folder / "train.text.json").read_text())
    held = tuning.opened(gate)
    net = transformers.AutoModelForCausalLM.from_pretrained(folder / "llama")
    teller = tuning.teller_of(folder, net)
    best = {"precompute_ref_log_probs": True, "gradient_checkpointing": False} if is_best else {}
    arguments = DPOConfig(
        str(folder / ("best" if is_best else "out")), num_train_epochs=plan.epochs, learning_rate=RATE,
        beta=BETA, use_cpu=True, disable_tqdm=True, max_length=plan.max_tokens, save_strategy="no",
        per_device_train_batch_size=BATCH, bf16=tuning.has_bfloat16(), **best,
    )  # fmt: skip
    trainer = DPOTrainer(
        model=net, args=arguments, train_dataset=datasets.Dataset.from_list(rows), callbacks=[Turns()],
        processing_class=teller,
        peft_config=peft.LoraConfig(r=RANK, lora_alpha=ALPHA, task_type="CAUSAL_LM"),
    )  # fmt: skip
    trainer.train()
    gate.end()
    peak = tuning.memory_MB("VmHWM") - held
    theirs = folder / ("theirs_best" if is_best else "theirs")
    trainer.model.merge_and_unload().float().save_pretrained(theirs)
    return {**judged(folder, theirs), "peak_MB": peak}


def judged(folder: Path, learnt: Path) -> dict[str, float]:
    """By transformers, in float32, on pairs that no side learnt from."""
    import torch
    import transformers
    from torch.nn import functional

    nets = [transformers.AutoModelForCausalLM.from_pretrained(at, dtype=torch.float32).eval()
            for at in (learnt, folder / "llama")]  # fmt: skip

    @torch.no_grad()
    def chance(answer: Mapping[str, list[int]], net: Any) -> float:
        logits = net(input_ids=torch.tensor([answer["input_ids"]])).logits[0, :-1]
        return -functional.cross_entropy(logits, torch.tensor(answer["labels"][1:]), reduction="sum").item()

    margins = []
    for row in json.loads((folder / "validation.tokens.json").read_text()):
        gain = {side: chance(row[side], nets[0]) - chance(row[side], nets[1]) for side in row}
        margins.append(BETA * (gain["chosen"] - gain["rejected"]))
    margin_P = torch.tensor(margins, dtype=torch.float64)
    return {"loss": -functional.logsigmoid(margin_P).mean().item(),
            "accuracy": (margin_P > 0).double().mean().item()}  # fmt: skip


def side(name: str, folder: Path, plan: Plan) -> None:
    gate = Gate()
    if name == "lichen":
        gate.tell(**lichen(folder, gate, plan))
    else:
        gate.tell(**trl(folder, gate, plan, is_best=name == "trl_best"))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small base and few pairs; no goal")
    parser.add_argument("--tiny", action="store_true", help="only to see that it runs")
    parser.add_argument("--base", help="a folder with a Llama, or hf/NAME; made here if not given")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    told = parser.parse_args(argv)
    plan = TINY if told.tiny else QUICK if told.quick else FULL
    if told.side:
        side(told.side, told.folder, plan)
        return
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in (*tuning.PACKAGES, "trl"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, plan, told.base)
        num_tokens = useful(folder)
        print(f"{versions}; one core; {plan}; {num_tokens} useful tokens per epoch", flush=True)
        size = ["--tiny"] if told.tiny else ["--quick"] if told.quick else []
        found = compare(
            __file__, SIDES, ["--folder", name, *size], epochs=plan.epochs, folder=folder, note=print
        )
    figures = tuning.report(found, num_tokens, plan.epochs, SIDES)
    over = figures["over_trl"]
    has_learnt = figures["trl"]["loss"] < math.log(2.0) - MARGIN
    is_ok = has_learnt and over["speed"] >= GOAL and over["memory"] <= MOST_MEMORY and over["loss"] <= MARGIN
    goal = f"{GOAL}x the useful tokens/s of trl's defaults, {MOST_MEMORY} of its memory, loss within {MARGIN}"
    print(json.dumps({"bench": "preferences", "figures": figures, "goal": goal,
                      "ok": bool(is_ok and plan == FULL)}))  # fmt: skip


if __name__ == "__main__":
    main()
