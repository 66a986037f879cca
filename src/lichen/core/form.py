"""form: what the manifest and the lineage in a value file must say, checked before anyone believes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from lichen.core.array import WIDTH_BYTES

HASH = re.compile(r"[0-9a-f]{64}")
FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
"""What a file of a Program may be called: a plain name on every system."""
MAX_NUMBERS = 1 << 28
"""Numbers in one picture that a Model or Program may ask for."""
MAX_TOKENS = 1 << 20
"""Numbers of one text, or of one code, that a Model or Program may ask for."""
Form = Any
"""A type, a predicate, `[form]` for a list, `Each(form)` for a mapping of any names, `Maybe(form)` for what
may be null, or `{name: form}`; a name that ends in `?` may be missing or null, others are left alone."""


class Misfit(ValueError):
    """A place that does not say what it must."""


@dataclass(frozen=True, slots=True)
class Each:
    """A mapping from any name to one form."""

    form: Form


@dataclass(frozen=True, slots=True)
class Maybe:
    """Null or one form."""

    form: Form


def natural(thing: Any) -> bool:
    return isinstance(thing, int) and not isinstance(thing, bool) and 0 <= thing < 2**63


def number(thing: Any) -> bool:
    return isinstance(thing, int | float) and not isinstance(thing, bool) and abs(thing) < 2**63


def blob(thing: Any) -> bool:
    return isinstance(thing, str) and HASH.fullmatch(thing) is not None


def text_or_none(thing: Any) -> bool:
    return thing is None or isinstance(thing, str)


def cell(thing: Any) -> bool:
    return thing is None or isinstance(thing, str) or number(thing)


def picture_shape(thing: Any) -> bool:
    return isinstance(thing, list) and all(map(natural, thing)) and 0 < prod(thing) <= MAX_NUMBERS


def length_of_text(thing: Any) -> bool:
    return natural(thing) and 0 < thing <= MAX_TOKENS


def length_of_code(thing: Any) -> bool:
    return natural(thing) and 0 < thing <= MAX_TOKENS


def tensor(thing: Any) -> bool:
    """An entry of weights whose size is that of its type and shape."""
    fit(thing, {"blob": blob, "offset": natural, "size": natural, "dtype": str, "shape": [natural]})
    return prod(thing["shape"]) * WIDTH_BYTES.get(thing["dtype"], -1) == thing["size"]


PIECE = {"blob": blob}
TASK = {"name": str, "options": dict}
TOKENIZER = {"kind": str, "special?": [str], "merges?": [str], "pieces?": [str], "file?": dict}
COLUMN = {
    "name": str, "kind": str, "levels?": [cell], "mean?": number, "std?": number, "has_empty?": bool,
    "shares?": [number], "means?": [number], "stds?": [number], "is_whole?": bool, "low?": number,
    "high?": number,
}  # fmt: skip
ASSETS = {
    "labels?": [str], "mean?": [number], "std?": [number], "image_shape?": picture_shape, "views?": str,
    "made_shape?": picture_shape, "num_codes?": length_of_code,
    "tokenizer?": TOKENIZER, "max_tokens?": length_of_text, "is_packed?": bool, "is_paired?": bool,
    "observation_shape?": picture_shape, "encoder?": [COLUMN],
    "action_low?": [number], "action_high?": [number],
}  # fmt: skip
INTERVAL = {"value": number, "low": Maybe(number), "high": Maybe(number)}
READER = {"name": str, "options": Each(text_or_none)}
SPLIT = {
    "num_rows": natural, "digest": blob, "rows": PIECE, "index?": PIECE, "content?": PIECE, "reader?": READER,
    "provenance?": {"names": [str], "blob": blob}, "num_synthetic?": natural,
    "removed?": {"num_rows": natural, "blob": blob},
}  # fmt: skip
IMAGE = {"channels": natural, "height": Maybe(natural), "width": Maybe(natural)}
PART = {"net": Maybe(str), "options": dict, "weights": Each(tensor), "base?": blob, "adapter?": dict}
FORMS: dict[str, Form] = {
    "dataset": {
        "splits": Each(SPLIT), "policy": [{"op": str}],
        "reader?": READER,
        "schema": {"labels?": [str], "columns?": Each(str), "image?": IMAGE, "text?": dict, "bitext?": dict,
                   "tabular?": dict,
                   "observation?": {"shape": picture_shape, "low": [number], "high": [number]}},
    },
    "environment": {
        "address": str, "options": dict, "wrappers": [{"name": str, "options": dict}],
        "observation": {"shape": [natural], "dtype": str},
        "action": {"num?": natural, "low?": [number], "high?": [number]},
    },
    "model": {
        "face": str, "task": Maybe(TASK), "assets": ASSETS,
        "parts": Each(PART),
    },
    "program": {
        "format": str, "files": Each({"blob": blob, "size": natural}), "runtime": str, "precision": str,
        "task": TASK, "assets": ASSETS, "num_params": natural, "source": Maybe(str),
    },
    "scores": {
        "subject": str, "data": str, "split": str, "num_rows": natural, "headline": str,
        "metrics": Each(INTERVAL), "answers": Each(tensor), "notes?": dict,
    },
}  # fmt: skip
REF = {"digest": str, "kind": str, "call?": str, "field": str}
CALL = {
    "id": blob, "step": str, "key": str, "code": str, "options": dict, "inputs": Each(REF),
    "outputs": Each(blob), "kinds": Each(str), "decisions": dict, "environment": dict, "read": [str],
    "places": Each(str), "sources": Each(str), "seconds": number, "started": str, "run": str,
    "is_accepted": bool,
}  # fmt: skip
LINEAGE = {"field": str, "calls": [CALL]}


def check(manifest: Any, sizes: Mapping[str, int]) -> None:
    """Checks a manifest against the form of its kind and against the bytes that are there.

    Args:
        sizes: bytes of each blob.

    Raises:
        Misfit: says where.
    """
    fit(manifest, {"kind": str})
    fit(manifest, FORMS[manifest["kind"]], manifest["kind"])
    if manifest["kind"] == "model":
        if manifest["face"] not in manifest["parts"]:
            raise Misfit("its face must be one of its parts")
        for name, part in manifest["parts"].items():
            _check_tensors(part["weights"], sizes, f"parts.{name}")
            if (part.get("base") is None) != (part.get("adapter") is None):
                raise Misfit(f"parts.{name[:80]} must have both `base` and `adapter`, or neither")
    if manifest["kind"] == "scores":
        _check_tensors(manifest["answers"], sizes, "answers")
        if manifest["headline"] not in manifest["metrics"]:
            raise Misfit("its headline must be one of its metrics")
    for name, entry in manifest["files"].items() if manifest["kind"] == "program" else ():
        if not FILE.fullmatch(name):
            raise Misfit(f"a file of a Program must have a plain name, not `{name[:80]}`")
        if sizes.get(entry["blob"], entry["size"]) != entry["size"]:
            raise Misfit(f"file {name} is not as large as it says")


def _check_tensors(entries: Mapping[str, Any], sizes: Mapping[str, int], where: str) -> None:
    for name, entry in entries.items():
        if entry["offset"] + entry["size"] > sizes.get(entry["blob"], 2**63):
            raise Misfit(f"{where}: tensor {name[:80]} ends beyond its bytes")


def fit(thing: Any, form: Form, where: str = "it") -> None:
    """Checks a thing against a form.

    Raises:
        Misfit: says where.
    """
    if isinstance(form, list):
        _fit_all(dict(enumerate(thing)) if isinstance(thing, list) else None, form[0], where)
    elif isinstance(form, Each):
        _fit_all(thing if isinstance(thing, dict) else None, form.form, where)
    elif isinstance(form, Maybe):
        if thing is not None:
            fit(thing, form.form, where)
    elif isinstance(form, dict):
        _fit_names(thing, form, where)
    elif isinstance(form, type):
        if not isinstance(thing, form):
            raise Misfit(f"{where} must be a {form.__name__}, not {_shown(thing)}")
    elif not form(thing):
        raise Misfit(f"{where} must be a {form.__name__.replace('_', ' ')}, not {_shown(thing)}")


def _fit_all(things: Mapping[Any, Any] | None, form: Form, where: str) -> None:
    if things is None:
        raise Misfit(f"{where} has the wrong type")
    for name, thing in things.items():
        fit(thing, form, f"{where}.{str(name)[:80]}")


def _fit_names(thing: Any, form: Mapping[str, Form], where: str) -> None:
    if not isinstance(thing, dict):
        raise Misfit(f"{where} must be a mapping, not {_shown(thing)}")
    for name, part in form.items():
        plain = name.removesuffix("?")
        if plain == name and name not in thing:
            raise Misfit(f"{where} must have `{name}`")
        if plain != name and thing.get(plain) is None:
            continue
        fit(thing[plain], part, f"{where}.{plain}")


def _shown(thing: Any) -> str:
    return ascii(thing)[:60] if isinstance(thing, str | float | bool | None) else type(thing).__name__
