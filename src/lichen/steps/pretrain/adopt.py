"""adopt: take a language model or a sentence encoder of others, with its tokenizer, into the record."""

from __future__ import annotations

from pathlib import Path

from lichen.core.model import Model
from lichen.core.schema import Source
from lichen.core.step import step
from lichen.engine import bertfolder, llamafolder


@step(splits=(), without=None)
def adopt(*, source: Source) -> Model:
    """Takes a Llama into the record as the net `gpt`, or a BERT as `bert`: these compute the same.

    Args:
        source: a folder with config.json, safetensors and a tokenizer, looked for as data are;
            `hf/org/name`: of the hub.
    """
    folder = Path(source)
    return bertfolder.read(folder) if bertfolder.claims(folder) else llamafolder.read(folder)
