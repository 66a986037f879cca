"""adopting: models of texts that others trained, from a folder or a GGUF file, with their tokenizers.

What a `gpt` or a `bert` can compute becomes one; other models of the transformers library are asked through
it, as the net `hf/<type>`. Weights are read from safetensors or GGUF; code and pickles that lie beside them
are not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lichen.core.errors import DataError, LichenError, NotFoundError, UnsafeInputError, UsageError
from lichen.core.model import Model
from lichen.data import chat, foreign, pairing, tokenizer
from lichen.engine.language import bertfolder, encoderfolder, ggufreading, llamafolder
from lichen.engine.modules import architecture, backend
from lichen.engine.quiet import muted
from lichen.layers import library
from lichen.nets import hf, hfencoder, hfpairs

NOT_KEPT = ("transformers_version", "dtype", "torch_dtype", "_name_or_path", "architectures", "use_cache")
"""What a configuration says of files and programs, not of the model."""
DECODERS = ("ForCausalLM", "LMHeadModel")
"""How the names of causal language models end; types of encoders have some too."""
OF_LANGUAGES = ("m2m_100", "mbart", "nllb-moe", "seamless_m4t", "seamless_m4t_v2")
"""Types of models that translate between many languages."""
LEFT_OUT = ("pooler",)
"""Parts of the library's encoders that are not asked, so that weights may lack them."""
FAMILIES = (
    f"bert computes {', '.join(bertfolder.FAMILIES)}; gpt Llamas and what computes as they do;"
    " through transformers enter its causal language models, encoders of texts and encoder-decoders"
)


def read(path: Path, net: str = "auto") -> Model:
    """The model of a folder, or of a GGUF file.

    Args:
        net: gpt and bert insist on these nets of our own, hf on the library's; auto: one of our own where it
            computes the same.

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
        if net == "bert":
            raise UsageError("no GGUF file becomes a bert", where=str(path), hint="net='auto'")
        return _of_gguf(path, net)
    config = llamafolder.config_of(path)
    _require_weights(path)
    if net != "hf" and (own := _own(path, config, net)):
        return own
    kind = _kind(path, config)
    made = _loaded(path, kind, {"use_safetensors": True})
    if kind != "decoder":
        return _encoder(made, path) if kind == "encoder" else _pairs(made, path)
    return _of_library(made, foreign.asset_of(path, config), chat.asset_of(path))


def _own(folder: Path, config: Mapping[str, Any], net: str) -> Model | None:
    """The model of a net of our own; None where none computes it.

    Raises:
        UsageError: the net that is insisted on does not compute it.
    """
    reads = {"gpt": llamafolder.read, "bert": bertfolder.read}
    is_encoder = encoderfolder.is_one(folder) or config.get("model_type") in bertfolder.FAMILIES
    try:
        return reads["bert" if is_encoder and net == "auto" else "gpt" if net == "auto" else net](folder)
    except UsageError:
        if net != "auto":
            raise
    return None


def _kind(folder: Path, config: Mapping[str, Any]) -> str:
    """What a model is: a decoder, an encoder or pairs, an encoder-decoder."""
    names = config.get("architectures")
    name = str(names[0]) if isinstance(names, list) and names else ""
    if encoderfolder.is_one(folder):
        return "encoder"
    if name.endswith(DECODERS):
        return "decoder"
    try:
        return library.kind_of(str(config.get("model_type"))) or "decoder"
    except NotFoundError:
        return "decoder"  # the library says why it cannot open it


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
        theirs = library.package().AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    made = _loaded(path.parent, "decoder", {"gguf_file": path.name})
    file = {**json.loads(theirs.backend_tokenizer.to_str()), "post_processor": None}
    names = {
        name: ggufreading.said(found, f"tokenizer.ggml.{name}") for name in ("bos_token_id", "eos_token_id")
    }
    turns = ggufreading.said(found, "tokenizer.chat_template") or ""
    asset = {"kind": "file", "file": file, **foreign.bounds_of(names)}
    return _of_library(
        made, foreign.settled(asset, made.config.to_dict(), turns), ggufreading.template_of(found)
    )


def _loaded(folder: Path, kind: str, how: Mapping[str, Any]) -> Any:
    """A model of the library, out of files alone."""
    try:
        with muted():
            made, about = getattr(library.package(), library.KINDS[kind]).from_pretrained(
                folder, dtype=torch.float32, trust_remote_code=False, local_files_only=True,
                output_loading_info=True, **how,
            )  # fmt: skip
    except LichenError:
        raise
    except Exception as error:  # noqa: BLE001 - the library raises whatever its many models do
        said = str(error).strip().partition("\n")[0][:300]
        if "trust_remote_code" in str(error) or "custom code" in str(error):
            raise UnsafeInputError(
                "a model must be of a type that transformers knows; this one is code beside its weights,"
                " which is not run", where=str(folder),
            ) from None  # fmt: skip
        raise UsageError(f"transformers cannot open this model: {said}", where=str(folder),
                         hint=FAMILIES) from None  # fmt: skip
    lacking = sorted(name for name in about["missing_keys"] if not set(name.split(".")) & set(LEFT_OUT))
    if lacking:  # the library draws them
        raise DataError(f"the weights have no tensor `{lacking[0]}`", where=str(folder),
                        hint=f"are they those of a {type(made).__name__}?")  # fmt: skip
    return made.eval()


def _encoder(made: Any, folder: Path) -> Model:
    """A Model of the library's encoder; it says of a text where it lies among others."""
    config, size = made.config, made.config.vocab_size
    asset = encoderfolder.tokenizer_of(folder, size, getattr(config, "pad_token_id", None))
    places = getattr(config, "max_position_embeddings", None)
    length = encoderfolder.longest(folder, places and places - _first_place(made))
    teller, pooling = tokenizer.of(asset), encoderfolder.pooling_of(folder)
    net = hfencoder.of(made, blank=teller.blank, pooling=pooling)
    options = {
        "in_shape": [length, size + (teller.blank == size)], "num_outputs": 0, "kind": "encoder",
        "config": _told(config), "blank": teller.blank, "pooling": pooling,
    }  # fmt: skip
    setattr(net, architecture.ORIGIN, (f"hf/{config.model_type}", options))
    return backend.wrap(net, task=encoderfolder.TASK, assets={"tokenizer": asset, "max_tokens": length})


def _pairs(made: Any, folder: Path) -> Model:
    """A Model of the library's encoder-decoder, which tells a text from another.

    Raises:
        UsageError: it must be told a language, or its tokenizer ends texts otherwise than it does.
    """
    config, size, end = made.config, made.config.vocab_size, made.config.eos_token_id
    if config.model_type in OF_LANGUAGES:
        raise UsageError(f"a translator must have one way; {config.model_type} is told languages when asked",
                         where=str(folder))  # fmt: skip
    read = encoderfolder.tokenizer_of(folder, size, config.pad_token_id)
    teller = tokenizer.of(read)
    opening, closing = ([teller.traded(number) for number in some] for some in read.pop("around"))
    if closing != [end]:
        raise UsageError(f"a source must end with {end}, as targets do; its tokenizer ends it with {closing}",
                         where=str(folder))  # fmt: skip
    before = len(teller.decode(teller.encode(["a"])[0])) - 1
    asset = {**read, "end": end, "stops": [end], "num_before": max(0, before)}
    first = _first(made)
    if not first:
        raise UsageError("a configuration must say what begins a target", where=str(folder),
                         hint="decoder_start_token_id in config.json")  # fmt: skip
    own_end = tokenizer.of(asset).end
    net = hfpairs.of(made, blank=teller.blank, first=first, opening=opening, end=own_end)
    places = getattr(config, "max_position_embeddings", None)
    length = encoderfolder.longest(folder, places) - pairing.AROUND - len(opening)
    options = {
        "in_shape": [length, size + (teller.blank == size)], "num_outputs": 0, "kind": "pairs",
        "config": _told(config), "blank": teller.blank, "first": first, "opening": opening, "end": own_end,
    }  # fmt: skip
    setattr(net, architecture.ORIGIN, (f"hf/{config.model_type}", options))
    assets = {"tokenizer": asset, "max_tokens": length, "is_paired": True}
    return backend.wrap(net, task="translation", assets=assets)


def _first(made: Any) -> list[int]:
    """The numbers before a target: one that begins it, and one that some models have forced upon them."""
    said = [made.generation_config, made.config]
    names = ("decoder_start_token_id", "forced_bos_token_id")
    found = [[getattr(one, name, None) for one in said] for name in names]
    return [next(number for number in numbers if number is not None)
            for numbers in found if any(number is not None for number in numbers)]  # fmt: skip


def _first_place(made: Any) -> int:
    """The place of a text's first token in a table of places; some begin behind the number that fills up."""
    for name, part in made.named_modules():
        if name.endswith("position_embeddings") and getattr(part, "padding_idx", None) is not None:
            return int(part.padding_idx) + 1
    return 0


def _told(config: Any) -> dict[str, Any]:
    """What rebuilds a configuration: JSON."""
    kept = {name: given for name, given in config.to_diff_dict().items() if name not in NOT_KEPT}
    found: dict[str, Any] = json.loads(json.dumps(kept))
    return found


def _of_library(made: Any, asset: dict[str, Any], template: dict[str, Any] | None) -> Model:
    """A Model of the library's model: rebuilt from its configuration, without the folder."""
    teller, kind = tokenizer.of(asset), made.config.model_type
    length = getattr(made.config, "max_position_embeddings", None) or 2048
    length = min(length, getattr(made.config, "sliding_window", None) or length)
    net = hf.of(made, end=teller.end, blank=teller.blank)
    size = made.config.vocab_size
    options = {
        "in_shape": [length, size + (teller.blank == size)], "num_outputs": 0,
        "config": _told(made.config), "end": teller.end, "blank": teller.blank,
    }  # fmt: skip
    setattr(net, architecture.ORIGIN, (f"hf/{kind}", options))
    assets = {"tokenizer": asset, "max_tokens": length, "is_packed": True}
    if template:
        assets["template"] = template
    return backend.wrap(net, task=llamafolder.TASK, assets=assets)
