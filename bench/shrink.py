"""shrink: a language model made smaller: trimmed and recovered, distilled, and the same net from scratch.

The whole model reads tinyshakespeare. Half of its heads and of the columns of its MLPs go, and a layer; what
is left learns under the whole model. Beside it stand a student of the same sizes from random weights under
the same teacher, and the same net from scratch by the text alone, for as many passes; and from scratch for
the CPU seconds that trimming took in all. One seed.

Quality is bits per byte of validation, with paired differences to the net from scratch. The time of a token
is that of its graph, int8 and float32, in turns on one thread, by what the CPU counts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import lichen as li
from lichen.core.model import Model
from lichen.engine.compression import fewbits
from lichen.engine.inputs import feeds

SHARES = {"layers": 0.25, "heads": 0.5, "hidden": 0.5}
WHOLE = {"depth": 4, "width": 192, "num_heads": 4}
STEPS, RECOVERY, PASSES, BATCH, LENGTH = 500, 150, 3, 32, 64
GOAL = 1.5
"""Times faster per token than the whole model, and fewer bits per byte than from scratch at equal CPU."""


def timed(make: Callable[[], Model], took_s: dict[str, float], name: str) -> Model:
    start = time.process_time()
    model = make()
    took_s[name] = time.process_time() - start
    print(f"{name:16} {took_s[name]:7.0f} s of CPU  {model.num_params} numbers", flush=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small, few steps; no goal")
    asked = parser.parse_args()
    root = Path(os.environ.get("LICHEN_DATA") or sys.exit("error: needs LICHEN_DATA with tinyshakespeare"))
    torch.set_num_threads(1)
    steps, recovery, passes = (60, 20, 1) if asked.quick else (STEPS, RECOVERY, PASSES)
    took_s: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, li.opened(Path(folder) / "made.lichen"):
        data = li.load(str(root / "tinyshakespeare"))
        teller = li.prepare.bpe(data, size=1024)

        def scratch(options: dict[str, Any], steps: int) -> Model:
            return li.pretrain.language(
                data, teller, net_options=options, max_tokens=LENGTH, batch_size=BATCH, steps=steps
            )

        whole = timed(lambda: scratch(WHOLE, steps), took_s, "whole")
        trimmed = timed(
            lambda: li.compress.trim(whole, data, **SHARES, steps=recovery, batch_size=BATCH, max_drop=1.0),
            took_s, "trimmed",
        )  # fmt: skip
        sizes = {
            name: given for name, given in trimmed.options.items() if name not in ("in_shape", "num_outputs")
        }
        distilled = timed(
            lambda: li.compress.distil(whole, data, net="gpt", net_options=sizes, optimizer="muon_adamw",
                                       temperature=1.0, epochs=passes, batch_size=BATCH),
            took_s, "distilled",
        )  # fmt: skip
        same = passes * -(-feeds.rows_of(data, "train", whole.assets).num_rows // BATCH)
        alone = timed(lambda: scratch(sizes, same), took_s, "scratch")
        affordable = max(1, round(same * took_s["trimmed"] / took_s["scratch"]))
        equal = timed(lambda: scratch(sizes, affordable), took_s, "scratch_equal_cpu")
        made = {"whole": whole, "trimmed": trimmed, "distilled": distilled, "scratch": alone,
                "scratch_equal_cpu": equal}  # fmt: skip
        eight = {
            "whole_int8": li.compress.quantize(whole, data),
            "trimmed_int8": li.compress.quantize(trimmed, data),
        }
        token_ms = fewbits.token_ms(
            {"whole": fewbits.whole(whole), "trimmed": fewbits.whole(trimmed), **eight}
        )
        told = {name: li.evaluate(value, data)["bits_per_byte"] for name, value in {**made, **eight}.items()}
        beside = li.studies.beside(equal, trimmed, alone, distilled)
        print(beside)
        figures = {
            "bits_per_byte": told, "cpu_s": took_s, "token_ms": token_ms,
            "numbers": {name: model.num_params for name, model in made.items()},
            "faster": token_ms["whole"] / token_ms["trimmed"],
            "faster_int8": token_ms["whole"] / token_ms["trimmed_int8"], "beside": beside.as_json(),
        }  # fmt: skip
    is_ok = (
        not asked.quick
        and figures["faster"] >= GOAL
        and told["trimmed"] < told["scratch_equal_cpu"]
        and told["distilled"] < told["scratch"]
    )
    goal = (
        f"{GOAL}x faster per token; fewer bits per byte than from scratch, trimmed at equal CPU seconds,"
        " distilled after the same text"
    )
    print(json.dumps({"bench": "shrink", "figures": figures, "goal": goal, "ok": is_ok}))


if __name__ == "__main__":
    main()
