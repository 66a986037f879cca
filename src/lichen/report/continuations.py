"""continuations: what a language model tells after documents' beginnings, and which it tells worst and best.

Shapes: N documents of the split of which something is told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from lichen.core.dataset import Dataset
from lichen.core.model import Model
from lichen.core.program import Program
from lichen.core.scores import Scores
from lichen.data import conversations, draws
from lichen.engine.decode import Decoder, Prompt
from lichen.engine.inputs import feeds
from lichen.engine.sampling import Sampling
from lichen.engine.training import execution
from lichen.engine.training.execution import Execution
from lichen.report import figures
from lichen.report.markup import Markup, join, note, table, tag

NUM_BEGUN, BEGUN, TOLD = 5, 120, 48
"""Documents that are gone on with, letters of each that are read at most, and tokens that are told."""
NUM_SHOWN = 5
"""Documents of the worst, and of the best, that are shown at most."""
LETTERS = 240
"""Of a text that are shown."""
MOST_PARAMS = 1_000_000_000
"""A larger net would take minutes."""
SEED = 0
"""Of the documents that are gone on with."""


def shown(value: Model | Program, data: Dataset, scores: Scores) -> list[Markup]:
    """Some documents gone on with beside what they say, then those with the most and the fewest bits."""
    answers = {name: array.numpy() for name, array in scores.answers().items()}
    told_NT2 = feeds.rows_of(data, scores.split, value.assets).targets
    documents_N = np.setdiff1d(told_NT2[..., 0], [-1]).astype(np.int64)
    assert len(documents_N) == len(answers["loss"])
    some_N = np.argsort(draws.hashes(documents_N, seed=SEED, epoch=0), kind="stable")
    fewest_N = np.argsort(bits_per_byte(answers), kind="stable")
    parts = [_continued(value, read(data, scores.split, documents_N[some_N[:NUM_BEGUN]]))]
    num_shown = min(NUM_SHOWN, max(1, len(fewest_N) // 2))
    for title, order_N in (("Worst: the most bits per byte", fewest_N[::-1]), ("Best: the fewest", fewest_N)):
        chosen = order_N[:num_shown]
        documents = read(data, scores.split, documents_N[chosen])
        places = [data.rows(scores.split).describe(row) for row in documents_N[chosen].tolist()]
        parts.append(_group(title, documents, places, {name: own[chosen] for name, own in answers.items()}))
    return parts


def _continued(value: Model | Program, documents: Sequence[Prompt]) -> Markup:
    title = tag("h3", None, "Gone on with")
    if value.num_params > MOST_PARAMS:
        return join([title, note("The net is too large to tell texts in a few seconds.")])
    begun = [begun_of(document) for document in documents]
    told = continued(value, [prompt for prompt, _ in begun])
    lines = [(_words(prompt), said, _short(rest)) for (prompt, rest), said in zip(begun, told, strict=True)]
    head = ("the document begins", "the model goes on", "the document goes on")
    said = f"Documents of validation; {TOLD} tokens at most, each the likeliest."
    return join([title, table(head, lines, left=(0, 1, 2), kind="told"), note(said)])


def read(data: Dataset, split: str, chosen: np.ndarray) -> list[Prompt]:
    """Some rows: texts as they are, of conversations their messages, of preferences what was chosen."""
    texts = data.rows(split).batch(chosen)
    if not {*conversations.KINDS} & data.schema.keys():
        return list(texts)
    return [conversations.chosen(conversations.read(text.encode())) for text in texts]


def begun_of(document: Prompt) -> tuple[Prompt, str]:
    """What is read of a document, and what it says then; of a conversation all before the last answer."""
    if not isinstance(document, str):
        last = max(place for place, said in enumerate(document) if said["role"] == conversations.ANSWERS)
        return document[:last], document[last]["content"]
    start = document[: min(BEGUN, len(document) // 2)]
    whole = start.rstrip().rpartition(" ")[0] or start  # a word that is cut off begins nothing
    return whole, document[len(whole) :]


def continued(value: Model | Program, prompts: Sequence[Prompt]) -> list[str]:
    """What the model tells after each prompt, the same on any machine of a kind."""
    decoder = Decoder.of(value, is_plain=isinstance(prompts[0], str))
    with execution.in_force(Execution(), "cpu"):
        return decoder.generate(prompts, max_new_tokens=TOLD, sampling=Sampling(temperature=0))


def bits_per_byte(answers: Mapping[str, np.ndarray]) -> np.ndarray:
    """float64 (N,): of each document."""
    nats_N = answers["loss"].astype(np.float64) * answers["num_tokens"]
    return nats_N / math.log(2) / np.maximum(1, answers["num_bytes"])


def _group(
    title: str, documents: Sequence[Prompt], places: Sequence[str], answers: Mapping[str, np.ndarray]
) -> Markup:
    told = zip(documents, places, answers["num_bytes"].tolist(), bits_per_byte(answers).tolist(), strict=True)
    lines = [(_short(_words(document)), place.rpartition("/")[2], figures.whole(size), figures.metric(bits))
             for document, place, size, bits in told]  # fmt: skip
    head = ("document", "place", "bytes told", "bits per byte")
    return join([tag("h3", None, title), table(head, lines, left=(0, 1), kind="told")])


def _words(said: Prompt) -> str:
    return said if isinstance(said, str) else "\n".join(f"{one['role']}: {one['content']}" for one in said)


def _short(text: str) -> str:
    return text if len(text) <= LETTERS else f"{text[:LETTERS].rstrip()} ..."
