"""adopting: language models that others trained, from a folder or a GGUF file, with their tokenizers.

What a `gpt` can compute becomes one; other models of the transformers library are asked through it, as the
net `hf/<type>`. Weights are read from safetensors or GGUF; code and pickles that lie beside them are not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lichen.core.errors import DataError, LichenError, UnsafeInputError, UsageError
from lichen.core.model import Model
from lichen.data import chat, foreign, tokenizer
from lichen.engine.language import ggufreading, llamafolder
from lichen.engine.modules import architecture, backend
from lichen.engine.quiet import muted
from lichen.nets import hf

NOT_KEPT = ("transformers_version", "dtype", "torch_dtype", "_name_or_path", "architectures", "use_cache")
"""What a configuration says of files and programs, not of the model."""


def read(path: Path, net: str = "auto") -> Model:
    """The model of a folder, or of a GGUF file.

    Args:
        net: gpt insists on the net of our own, hf on the library's; auto: gpt where it computes the same.

    Raises:
        DataError: a file is missing or is not what its name says.
        UnsafeInputError: weights are pickled, or the model is code in a file.
        UsageError: no net computes it.
    """
    if (
        path.is_dir()
        and not (path / "config.json").is_file()
        and len(found := list(path.glob("*.gguf"))) == 1
    ):
        path = found[0]
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise DataError("a language model is a folder with config.json, or a GGUF file", where=str(path))
        return _of_gguf(path, net)
    config = llamafolder.config_of(path)
    _require_weights(path)
    if net != "hf":
        try:
            return llamafolder.read(path)
        except UsageError:
            if net == "gpt":
                raise
    made = _loaded(path, {"use_safetensors": True})
    return _of_library(made, foreign.asset_of(path, config), chat.asset_of(path))


def _require_weights(folder: Path) -> None:
    if any(folder.glob("*.safetensors")):
        return
    if pickled := sorted(path.name for kind in ("*.bin", "*.pt", "*.pth") for path in folder.glob(kind)):
        raise UnsafeInputError(
            f"weights must be safetensors: `{pickled[0]}` is a pickle, which can run code when it is opened",
            where=str(folder), hint="save them with safetensors where you trust them",
        )  # fmt: skip
    raise DataError("a model must lie beside its weights, *.safetensors", where=str(folder))


def _of_gguf(path: Path, net: str) -> Model:
    """A GGUF file: a Llama is read here, others through transformers."""
    if net != "hf":
        try:
            return ggufreading.read(path)
        except UsageError:
            if net == "gpt":
                raise
    found = ggufreading.opened(path)
    with muted():
        theirs = hf.library().AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    made = _loaded(path.parent, {"gguf_file": path.name})
    file = {**json.loads(theirs.backend_tokenizer.to_str()), "post_processor": None}
    names = {
        name: ggufreading.said(found, f"tokenizer.ggml.{name}") for name in ("bos_token_id", "eos_token_id")
    }
    turns = ggufreading.said(found, "tokenizer.chat_template") or ""
    asset = {"kind": "file", "file": file, **foreign.bounds_of(names)}
    return _of_library(
        made, foreign.settled(asset, made.config.to_dict(), turns), ggufreading.template_of(found)
    )


def _loaded(folder: Path, how: Mapping[str, Any]) -> Any:
    """A model of the library, out of files alone."""
    library = hf.library()
    try:
        with muted():
            return library.AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.float32, trust_remote_code=False, local_files_only=True, **how
            ).eval()
    except LichenError:
        raise
    except Exception as error:  # noqa: BLE001 - the library raises whatever its many models do
        said = str(error).strip().partition("\n")[0][:300]
        if "trust_remote_code" in str(error) or "custom code" in str(error):
            raise UnsafeInputError(
                "a model must be of a type that transformers knows; this one is code beside its weights,"
                " which is not run", where=str(folder),
            ) from None  # fmt: skip
        raise UsageError(f"transformers cannot open this model: {said}", where=str(folder)) from None


def _of_library(made: Any, asset: dict[str, Any], template: dict[str, Any] | None) -> Model:
    """A Model of the library's model: rebuilt from its configuration, without the folder."""
    teller, kind = tokenizer.of(asset), made.config.model_type
    config = {name: given for name, given in made.config.to_diff_dict().items() if name not in NOT_KEPT}
    length = getattr(made.config, "max_position_embeddings", None) or 2048
    length = min(length, getattr(made.config, "sliding_window", None) or length)
    net = hf.of(made, end=teller.end, blank=teller.blank)
    size = made.config.vocab_size
    options = {
        "in_shape": [length, size + (teller.blank == size)], "num_outputs": 0,
        "config": json.loads(json.dumps(config)), "end": teller.end, "blank": teller.blank,
    }  # fmt: skip
    setattr(net, architecture.ORIGIN, (f"hf/{kind}", options))
    assets = {"tokenizer": asset, "max_tokens": length, "is_packed": True}
    if template:
        assets["template"] = template
    return backend.wrap(net, task=llamafolder.TASK, assets=assets)
