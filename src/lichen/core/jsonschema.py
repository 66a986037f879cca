"""jsonschema: the JSON schema of recipes, from the signatures of what the shelves hold."""

from __future__ import annotations

import json
from typing import Any

from lichen.core import find, signature
from lichen.core.recipe import HEADS
from lichen.core.recipefile import VERSION
from lichen.core.schema import Option, Signature

TYPES = {"int": "integer", "float": "number", "bool": "boolean", "dict": "object"}


def recipe() -> dict[str, Any]:
    """The schema of a whole recipe; editors complete and check with it."""
    steps = [signature.of("steps", address) for address in find.shelf("steps")]
    studies = [signature.of("studies", address) for address in find.shelf("studies")]
    options = {read.address: _options(read) for read in steps}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lichen recipe",
        "type": "object",
        "required": ["lichen", "steps"],
        "additionalProperties": False,
        "properties": {
            "lichen": {"const": VERSION},
            "name": {"type": "string"},
            **{
                name: {"anyOf": [{"type": "string"}, options.get(step, {"type": "object"})]}
                for name, (step, _) in HEADS.items()
            },
            "steps": {"type": "array", "items": _items(steps)},
            "studies": {"type": "array", "items": _items(studies)},
        },
    }


def text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=1)


def _items(reads: list[Signature]) -> dict[str, Any]:
    """One of the known names with its options, or a user's `module:name`."""
    named = [{"type": "object", "properties": {read.address: _options(read), "as": {"type": "string"}},
              "required": [read.address], "additionalProperties": False, "description": read.caption}
             for read in reads]  # fmt: skip
    own = {"type": "object", "patternProperties": {"^[^:]+:[^:]+$": {"type": ["object", "null"]}},
           "properties": {"as": {"type": "string"}}, "additionalProperties": False}  # fmt: skip
    return {"anyOf": [{"enum": [read.address for read in reads]}, *named, own]}


def _options(read: Signature) -> dict[str, Any]:
    values = {taken.name: {"type": "string", "pattern": "^\\$"} for taken in read.values}
    properties = {
        **values,
        **{name: _one(option) for name, option in read.options.items()},
        "as": {"type": "string"},
    }
    required = [name for name, option in read.options.items() if option.is_required]
    return {
        "type": ["object", "null"],
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _one(option: Option) -> dict[str, Any]:
    one: dict[str, Any] = (
        {"enum": list(option.choices)} if option.choices else {"type": TYPES.get(option.kind, "string")}
    )
    if option.bounds and option.bounds.low is not None:
        one["minimum"] = option.bounds.low
    if option.bounds and option.bounds.high is not None:
        one["maximum"] = option.bounds.high
    if option.table:
        numbers = {name: {"type": "number", "minimum": low, "maximum": high}
                   for name, (_, low, high) in option.table.items()}  # fmt: skip
        named = {"type": "object", "properties": numbers, "additionalProperties": False}
        one = {"anyOf": [{"enum": list(option.table)}, named]}
    if option.is_list:
        one = {"type": "array", "items": one}
    whole = {"anyOf": [one, {"type": "null"}]} if option.may_be_none else one
    return {**whole, "default": option.default} if not option.is_required else whole
