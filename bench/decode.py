"""decode: tokens per second of one text by a net of GPT-2's size: lichen and transformers, in turns.

The net is a Llama of 124M numbers (12 layers of width 768, 50 257 tokens, a tied head) drawn at random, the
same numbers on every side; transformers' own GPT-2 of that size stands beside it. A lap is `generate` once:
a prompt of 32 tokens and what follows, greedily, prompt and all overhead counted. First of all sides in
float32 tell the same tokens. What few bits cost is told by a model that lichen trains: the life of
`recipes/shakespeare.yaml`, its perplexity on the text held back.

`hf_best` is transformers with a static cache and a compiled forward pass; where it does not run, the reason
stands in its figures. llama.cpp takes part where `llama_cpp` can be imported.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import interleaved

SHAPE = {"depth": 12, "width": 768, "mlp": "swiglu", "qk_norm": False, "is_tied": True}
NUM_TOKENS, ROOM, PROMPT, GROUP = 50_257, 512, 32, 128
SIDES = ("hf", "hf_gpt2", "hf_best", "llama_cpp", "module", "float32", "int8", "int4")
GOAL = 8.0
"""Times the tokens per second of `hf`."""
QUALITY = {"int8": {"perplexity": 0.1}, "int4": {"share": 0.04}}
"""What few bits may cost: perplexity, or a share of it."""
RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "shakespeare.yaml"


def net() -> Any:
    """The same numbers in every process."""
    import torch

    from lichen.engine.modules import architecture

    torch.manual_seed(0)
    made = architecture.build("gpt", SHAPE, (ROOM, NUM_TOKENS), 0)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.02)
    return made.eval()


def prompt() -> Any:
    import numpy as np

    return np.random.default_rng(0).integers(3, NUM_TOKENS, PROMPT).astype(np.int32)


def lichen_side(name: str, threads: int, count: int) -> Any:
    """() -> tokens, by the net itself or by its program."""
    import torch

    from lichen.engine.decode import Decoder, Written
    from lichen.engine.modules import rounding
    from lichen.engine.programs import gptfile, runtimes
    from lichen.engine.sampling import Sampling

    torch.set_num_threads(threads)
    module = net()
    if name != "module":
        matrices = {} if name == "float32" else {
            one: rounding.nearest(matrix, 8 if one == "tokens" else int(name[3:]), GROUP)
            for one, matrix in gptfile.matrices_of(module).items()
        }  # fmt: skip
        files = {"model.onnx": memoryview(gptfile.written(module, ROOM, matrices))}
        teller = runtimes.teller(files, threads=threads)
        assert teller is not None
        module = Written(teller)
    decoder = Decoder(module, SimpleNamespace(stops=frozenset(), end=1), ROOM)  # type: ignore[arg-type]
    greedy = Sampling(temperature=0)
    return lambda: [told[0] for told in decoder.tokens([prompt()], count, greedy)]


def hf_side(name: str, threads: int, count: int) -> Any:
    import torch
    import transformers

    from lichen.engine.language import llama

    torch.set_num_threads(threads)
    model = (
        transformers.GPT2LMHeadModel(transformers.GPT2Config())
        if name == "hf_gpt2"
        else llama.module_of(net())
    )
    model.eval().generation_config.eos_token_id = None
    begun, how = torch.from_numpy(prompt()).long()[None], {"max_new_tokens": count, "do_sample": False}
    if name == "hf_best":
        model.generation_config.cache_implementation = "static"
        model.forward = torch.compile(model.forward, dynamic=False)
    return lambda: model.generate(begun, pad_token_id=0, **how)[0, PROMPT:].tolist()


def llama_cpp_side(threads: int, count: int, folder: Path) -> Any:
    """q4_0 of the same numbers by llama.cpp."""
    import llama_cpp

    from lichen.data import tokenizer
    from lichen.engine.language import ggufwriting
    from lichen.engine.modules import backend

    teller = tokenizer.learn([str(__doc__)], 512)  # llama.cpp opens no file without pairs
    assets = {"tokenizer": teller, "max_tokens": ROOM, "is_packed": True}
    path = folder / ggufwriting.NAME
    ggufwriting.write(backend.wrap(net(), task="language_modelling", assets=assets), path, "q4_0")
    model = llama_cpp.Llama(str(path), n_ctx=ROOM, n_threads=threads, verbose=False)

    def told() -> list[int]:
        model.reset()
        found = model.generate(prompt().tolist(), temp=0.0)
        return [next(found) for _ in range(count)]

    return told


def run_side(name: str, threads: int, count: int, laps: int) -> None:
    gate = interleaved.Gate()
    try:
        if name.startswith("hf"):
            telling = hf_side(name, threads, count)
        elif name == "llama_cpp":
            telling = llama_cpp_side(threads, count, Path())
        else:
            telling = lichen_side(name, threads, count)
        tokens = telling()
    except Exception as error:
        if name not in ("hf_best", "llama_cpp"):
            raise
        said = str(error).strip().partition("\n")[0][:200]
        telling, tokens = (lambda: None), f"{type(error).__name__}: {said}"
    gate.open(tokens=tokens)
    for lap in range(laps):
        telling()
        gate() if lap + 1 < laps else gate.end()
    gate.tell()


def quality(quick: bool, folder: Path) -> dict[str, float]:
    """Perplexity of a model that was trained here, in float32 and in few bits."""
    import lichen as li
    from lichen.core import session
    from lichen.core.session import Session

    os.chdir(folder)
    with session.using(Session()):
        data = li.load("tinyshakespeare")
        teller = li.prepare.bpe(data, size=1024)
        options = {"depth": 4, "width": 128, "num_heads": 4}
        model = li.pretrain.language(data, teller, net_options=options, max_tokens=64, batch_size=32,
                                     steps=100 if quick else 450, precision="float32")  # fmt: skip
        found = {"float32": li.evaluate(model, data)["perplexity"]}
        for name in QUALITY:
            small = li.compress.quantize(model, data, precision=name)
            found[name] = li.evaluate(small, data)["perplexity"]
    return found


def is_good(found: dict[str, float]) -> bool:
    worse = {name: found[name] - found["float32"] for name in QUALITY}
    return worse["int8"] <= QUALITY["int8"]["perplexity"] and (
        worse["int4"] <= QUALITY["int4"]["share"] * found["float32"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer tokens and laps, a shorter training")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of every side")
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=SIDES)
    parser.add_argument("--no-quality", action="store_true", help="speed alone")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    given = parser.parse_args()
    count, laps = (16, 3) if given.quick else (128, 7)
    if given.side:
        return run_side(given.side, given.threads, count, laps)
    arguments = ["--threads", str(given.threads), *(["--quick"] if given.quick else [])]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        perplexity = {} if given.no_quality else quality(given.quick, folder)
        found = interleaved.compare(
            str(Path(__file__).resolve()), given.sides, arguments, epochs=laps - 1, folder=folder,
            note=lambda text: print(text, file=sys.stderr),
        )  # fmt: skip
    figures = {name: _figures(laps, count) for name, laps in found.items()}
    base = found["hf"].facts["tokens"] if "hf" in found else None
    same = {
        name: laps.facts["tokens"] == base for name, laps in found.items() if name in ("float32", "module")
    }
    best = figures.get("int4", {}).get("tokens_per_s", 0.0)
    ratio = {
        name: round(best / entry["tokens_per_s"], 2)
        for name, entry in figures.items()
        if "tokens_per_s" in entry
    }
    is_ok = ratio.get("hf", 0.0) >= GOAL and all(same.values()) and (not perplexity or is_good(perplexity))
    print(json.dumps({
        "bench": "decode", "goal": {"int4_over_hf": GOAL, "quality": QUALITY}, "ok": is_ok,
        "figures": {"sides": figures, "int4_over": ratio, "same_tokens": same, "perplexity": perplexity,
                    "threads": given.threads},
    }))  # fmt: skip


def _figures(laps: interleaved.Laps, count: int) -> dict[str, Any]:
    if isinstance(laps.facts["tokens"], str):
        return {"does_not_run": laps.facts["tokens"]}
    return {"tokens_per_s": round(count / median(laps.wall_s), 2),
            "ms_of_cpu": round(1000 * median(laps.cpu_s) / count, 2)}  # fmt: skip


if __name__ == "__main__":
    main()
