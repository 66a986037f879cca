"""adopt: take a language model that someone trained, with its tokenizer, into the record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lichen.core.errors import DataError
from lichen.core.model import Model
from lichen.core.schema import Source
from lichen.core.step import step
from lichen.data import foreign
from lichen.data.files import read_bytes
from lichen.engine import architecture, backend, llama, pretrained


@step(splits=(), without=None)
def adopt(*, source: Source) -> Model:
    """Takes a Llama into the record, as the net `gpt`, which computes the same.

    Args:
        source: a folder with config.json, safetensors and a tokenizer, looked for as data are;
            `hf/org/name`: of the hub.
    """
    folder = Path(source)
    config = _config(folder / "config.json")
    tensors: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors.update(pretrained.read(path).tensors)
    net = llama.of(config, tensors)
    _, made = getattr(net, architecture.ORIGIN)
    assets = {
        "tokenizer": foreign.asset_of(folder, config), "max_tokens": made["in_shape"][0], "is_packed": True,
    }  # fmt: skip
    return backend.wrap(net, task="language_modelling", assets=assets)


def _config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError("a model must lie beside its config.json", where=str(path.parent))
    try:
        found = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"a configuration must be JSON: {error}", where=str(path)) from None
    if not isinstance(found, dict):
        raise DataError("a configuration must be a mapping", where=str(path))
    return found
