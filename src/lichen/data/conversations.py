"""conversations: what people and a model say to each other, each a row of JSON.

A row is `{"messages": [...]}`, or a preference, `{"prompt": [...], "chosen": [...], "rejected": [...]}`. A
message is `{"role", "content"}`. Tables say the same in many ways; every way becomes this one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lichen.core.errors import DataError, nearest
from lichen.data.columns import IMAGE_COLUMNS, SPOKEN, TEXT_COLUMNS, column, usual

Message = dict[str, str]
SPEAKERS = ("system", "user", "assistant", "tool")
ANSWERS = "assistant"
ALSO_CALLED = {"human": "user", "gpt": ANSWERS, "bot": ANSWERS, "model": ANSWERS, "developer": "system"}
NAMES = {
    "messages": ("messages", "conversation", "conversations"),
    "prompt": ("prompt", "instruction", "question", "query"),
    "answer": ("answer", "response", "completion", "output"),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
}
"""The usual names of the columns that fill a role."""
BESIDE = {"system": ("system", "system_prompt"), "context": ("context", "input")}
"""Columns that say more of what was asked: how to answer, and what the question is about."""
WHOLE = "prompt"
"""A column of this name says all that was asked, so that no context belongs to it."""
KINDS = ("conversation", "preference")
"""What a row may be, by its name in a schema."""
Roles = Mapping[str, str]


def claims(columns: Sequence[str], options: Mapping[str, Any]) -> bool:
    """Whether a table holds conversations: told so, or by its columns, none of texts or pictures."""
    if any(options.get(role) for role in SPOKEN):
        return True
    if options.get("text") or options.get("image") or usual(columns, IMAGE_COLUMNS):
        return False
    has = {role: bool(usual(columns, NAMES[role])) for role in SPOKEN}
    is_pair = has["chosen"] and has["rejected"]
    is_answer = has["prompt"] and has["answer"] and not usual(columns, TEXT_COLUMNS)
    return has["messages"] or is_pair or is_answer


def roles_of(columns: Sequence[str], options: Mapping[str, Any], where: str) -> dict[str, str]:
    """The columns that make a conversation or a pair of answers.

    A column of contexts is found where that of questions is; where this is told, it is all that is asked.

    Raises:
        DataError: a column is missing; hints at the nearest.
    """
    told = {role: options.get(role) for role in SPOKEN}
    is_pair = bool(told["rejected"] or told["chosen"] or usual(columns, NAMES["rejected"]))
    if not is_pair and (told["messages"] or (usual(columns, NAMES["messages"]) and not told["prompt"])):
        wanted: tuple[str, ...] = ("messages",)
    elif not is_pair:
        wanted = ("prompt", "answer")
    else:
        has_prompt = told["prompt"] or usual(columns, NAMES["prompt"])
        wanted = ("prompt", "chosen", "rejected") if has_prompt else ("chosen", "rejected")
    found = {role: column(columns, told[role], NAMES[role], role, where) for role in wanted}
    is_question = not told["prompt"] and found.get("prompt", WHOLE).lower() != WHOLE
    beside = {
        role: usual(columns, BESIDE[role]) for role in ("system", *(["context"] if is_question else []))
    }
    return {**found, **{role: names[0] for role, names in beside.items() if names}}


def kind_of(columns: Roles) -> str | None:
    """What rows of these columns are; None: no conversations."""
    if "rejected" in columns:
        return "preference"
    return "conversation" if {"messages", "answer"} & columns.keys() else None


def row(record: Mapping[str, Any], roles: Roles) -> bytes:
    """The row that a record of a table says.

    Raises:
        DataError: it says none.
    """
    if "rejected" in roles:
        said: dict[str, Any] = _pair(record, roles)
    elif "messages" in roles:
        said = {"messages": _led(messages(record.get(roles["messages"])), record, roles)}
    else:
        asked = _led(_asked(record, roles), record, roles)
        said = {"messages": [*asked, *_answered(record.get(roles["answer"]))]}
    for spoken in (said["messages"],) if "messages" in said else (said["chosen"], said["rejected"]):
        if not any(message["role"] == ANSWERS for message in spoken):
            raise DataError(
                f"a conversation must hold an answer, a message of `{ANSWERS}`; this one has none"
            )
    try:
        return json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise DataError("a message has half a character (a lone surrogate)") from None


def read(data: bytes) -> dict[str, list[Message]]:
    """What a row says."""
    return json.loads(data)


def chosen(said: Mapping[str, list[Message]]) -> list[Message]:
    """A row's conversation; of a pair the one that was preferred."""
    return said["messages"] if "messages" in said else [*said["prompt"], *said["chosen"]]


def rejected(said: Mapping[str, list[Message]]) -> list[Message]:
    return [*said["prompt"], *said["rejected"]]


def texts_of(data: bytes) -> list[str]:
    """The words of a row, without who said them."""
    return [message["content"] for spoken in read(data).values() for message in spoken]


def messages(given: Any, role: str | None = None) -> list[Message]:
    """Messages in any of the usual forms.

    Args:
        role: who says a plain text; None: it is JSON.

    Raises:
        DataError: it is none of these forms.
    """
    if isinstance(given, str) and role is not None:
        return [{"role": role, "content": given}]
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError) as error:
            raise DataError(f"messages must be a list, or JSON of one: {error}") from None
    if not isinstance(given, list | tuple) or not given:
        what = "nothing" if given is None or given == [] else type(given).__name__
        raise DataError(f"a conversation must be a list of messages, not {what}")
    return [_message(one) for one in given]


def _message(given: Any) -> Message:
    if not isinstance(given, Mapping):
        raise DataError(f"a message must be {{role, content}}, not {type(given).__name__}")
    role, content = (given.get(name, given.get(other)) for name, other in
                     (("role", "from"), ("content", "value")))  # fmt: skip
    role = ALSO_CALLED.get(str(role).lower(), str(role).lower())
    if role not in SPEAKERS:
        raise DataError(f"a message's role must be one of {', '.join(SPEAKERS)}, not `{role[:80]}`",
                        hint=nearest(role, SPEAKERS))  # fmt: skip
    if not isinstance(content, str) or given.get("tool_calls"):
        what = "calls of tools" if given.get("tool_calls") else type(content).__name__
        raise DataError(f"a message's content must be a text, not {what}")
    return {"role": role, "content": content}


def _asked(record: Mapping[str, Any], roles: Roles) -> list[Message]:
    asked = messages(record.get(roles["prompt"]), "user")
    if context := _beside(record, roles, "context"):
        asked[-1] = {**asked[-1], "content": f"{asked[-1]['content']}\n\n{context}"}
    return asked


def _led(spoken: list[Message], record: Mapping[str, Any], roles: Roles) -> list[Message]:
    """Messages after what a column says of how to answer, unless they begin so themselves."""
    system = _beside(record, roles, "system")
    is_led = not system or spoken[0]["role"] == "system"
    return spoken if is_led else [{"role": "system", "content": system}, *spoken]


def _beside(record: Mapping[str, Any], roles: Roles, role: str) -> str:
    given = record.get(roles.get(role, ""))
    if given is not None and not isinstance(given, str):
        raise DataError(f"column `{roles[role]}` must hold texts, not {type(given).__name__}")
    return given if given and given.strip() else ""


def _answered(given: Any) -> list[Message]:
    return messages(given, ANSWERS)


def _pair(record: Mapping[str, Any], roles: Roles) -> dict[str, list[Message]]:
    """What was preferred: where no column asks, the question is what both conversations begin with."""
    sides = [_answered(record.get(roles[role])) for role in ("chosen", "rejected")]
    asked = messages(record.get(roles["prompt"]), "user") if "prompt" in roles else []
    common = 0
    while common < min(map(len, sides)) - 1 and sides[0][common] == sides[1][common]:
        common += 1
    if asked and sides[0][: len(asked)] != asked:
        common = 0
    prompt = sides[0][:common] if common or not asked else _asked(record, roles)
    if not prompt:
        raise DataError("a preference must say what was asked", hint="prompt= names the column")
    if sides[0][common:] == sides[1][common:]:
        raise DataError("the chosen and the rejected answer must differ", hint="drop the row")
    return {"prompt": _led(prompt, record, roles), "chosen": sides[0][common:], "rejected": sides[1][common:]}
