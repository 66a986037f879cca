"""encoderfolder: what a sentence encoder's folder says beside its net: tokenizer, length and pooling.

These are sentence-transformers' files: modules.json names what is done with a text one after the other,
1_Pooling/config.json says which vector it becomes. Vectors are compared by their cosines here, so it changes
nothing where a folder makes them one long (2_Normalize).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lichen.core.errors import DataError, UsageError
from lichen.data import foreign, tokenizer
from lichen.data.files import read_bytes
from lichen.layers import pooling

TASK = "sentence_embedding"
MODES = {
    "pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_lasttoken": "last",
    "pooling_mode_max_tokens": "max",
}  # fmt: skip
"""Ways of pooling, as older files name them; newer ones say `pooling_mode`, and lasttoken for last."""
DONE = ("Transformer", "Pooling", "Normalize")
"""Modules that are computed here."""
LONG = 2048
"""Tokens that an encoder reads at most where nothing says how many."""


def is_one(folder: Path) -> bool:
    """Whether a folder says which vector a text becomes."""
    return (folder / "modules.json").is_file() or (folder / "1_Pooling").is_dir()


def pooling_of(folder: Path) -> str:
    """The way of pooling; the mean of the tokens where a folder does not say.

    Raises:
        UsageError: it pools in another way, or does more than that.
    """
    place = _place_of_pooling(folder)
    path = folder / place / "config.json"
    if not path.is_file():
        return "mean"
    said = mapping(path)
    modes = said.get("pooling_mode", [])
    modes = [modes] if isinstance(modes, str) else list(modes)
    modes += [name for name, is_on in said.items() if name.startswith("pooling_mode_") and is_on is True]
    found = {MODES.get(mode, mode.replace("lasttoken", "last")) for mode in modes} or {"mean"}
    if len(found) > 1 or not found <= set(pooling.KINDS):
        raise UsageError(
            f"a text's vector must be one of {', '.join(pooling.KINDS)}, not {', '.join(modes)}",
            where=str(path),
        )
    return str(found.pop())


def _place_of_pooling(folder: Path) -> str:
    """The folder that says how tokens are pooled.

    Raises:
        UsageError: a vector goes through more than is computed here.
    """
    listing = folder / "modules.json"
    if listing.is_file():
        modules = _listed(listing)
        done = [(str(one.get("type", "")).rpartition(".")[2], str(one.get("path", ""))) for one in modules]
    else:
        done = [(path.name.partition("_")[2], path.name) for path in sorted(folder.glob("[1-9]_*"))]
    for name, place in done:
        if name not in DONE:
            raise UsageError(
                f"of sentence encoders {', '.join(DONE)} are computed; this one goes on with {name}"
                f" ({place or 'its root'})", where=str(folder),
            )  # fmt: skip
    return next((place for name, place in done if name == "Pooling"), "1_Pooling")


def longest(folder: Path, places: int | None) -> int:
    """Tokens that an encoder was trained to read.

    Args:
        places: that have a vector; None: there are no such vectors.
    """
    told = []
    for name, key in (
        ("sentence_bert_config.json", "max_seq_length"),
        ("tokenizer_config.json", "model_max_length"),
    ):
        path = folder / name
        given = mapping(path).get(key) if path.is_file() else None
        if isinstance(given, int | float) and 0 < given < 10**6:  # a library writes 1e30 for none
            told.append(int(given))
    return min(told[0] if told else LONG if places is None else places, places or 10**6)


def tokenizer_of(folder: Path, size: int, pad: int | None) -> dict[str, Any]:
    """The asset of the tokenizer, with what it puts around every text.

    Args:
        size: numbers of tokens that the model knows.
        pad: the model's number for what fills texts up, by which some nets count places.

    Raises:
        DataError: there is none that can be read, or it has more tokens than the model.
    """
    if not (folder / "tokenizer.json").is_file():
        raise DataError("an encoder must lie beside its tokenizer.json", where=str(folder),
                        hint="transformers' AutoTokenizer writes one: save_pretrained(folder)")  # fmt: skip
    asset = foreign.asset_of(folder, {"vocab_size": size})
    file = {**asset["file"], "normalizer": _normalizer(folder, asset["file"].get("normalizer"))}
    opening, closing = _around(tokenizer.of(asset).backend)
    asset = {**asset, "file": file, "end": opening[0] if opening else 0, "stops": closing[-1:]}
    if pad is not None:
        asset["blank"] = pad or None
    teller = tokenizer.of(asset)
    if teller.size > size + (teller.blank == size):
        raise DataError("the tokenizer has more tokens than the model", where=str(folder))
    return {**asset, "around": [[teller.traded(number) for number in some] for some in (opening, closing)]}


def _normalizer(folder: Path, own: Any) -> Any:
    """What is done with a text first: some encoders read small letters alone."""
    path = folder / "sentence_bert_config.json"
    if not path.is_file() or mapping(path).get("do_lower_case") is not True:
        return own
    return {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *([own] if own else [])]}


def _around(backend: Any) -> tuple[list[int], list[int]]:
    """Tokens before and after a text, as `[CLS]` and `[SEP]`, by what is put around one."""
    words = [added.content for added in backend.get_added_tokens_decoder().values()]
    bare = backend.encode(words[0] if words else "a", add_special_tokens=False)
    whole = backend.post_process(bare, None, True)
    inner = [place for place, sequence in enumerate(whole.sequence_ids) if sequence is not None]
    if not inner:
        return [], []
    return whole.ids[: inner[0]], whole.ids[inner[-1] + 1 :]


def mapping(path: Path) -> dict[str, Any]:
    """What a file of JSON says.

    Raises:
        DataError: it is not there, or is no mapping.
    """
    found = _json(path)
    if not isinstance(found, dict):
        raise DataError("a configuration must be a mapping", where=str(path))
    return found


def _listed(path: Path) -> list[dict[str, Any]]:
    found = _json(path)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise DataError("modules.json must be a list of mappings", where=str(path))
    return found


def _json(path: Path) -> Any:
    if not path.is_file():
        raise DataError(f"a model must lie beside its {path.name}", where=str(path.parent))
    try:
        return json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"a configuration must be JSON: {error}", where=str(path)) from None
