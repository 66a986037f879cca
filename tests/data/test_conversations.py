"""Every usual form of a conversation becomes one row; what is none is named."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lichen as li
from lichen.core.errors import DataError
from lichen.data import conversations

NAMES = {name: name for name in ("prompt", "chosen", "rejected")}
ASKED = [{"role": "user", "content": "how?"}]
BOTH = [*ASKED, {"role": "assistant", "content": "so"}]


def said(record, **options):
    roles = conversations.roles_of(list(record), options, "here")
    return conversations.read(conversations.row(record, roles))


@pytest.mark.parametrize(
    "record",
    [
        {"messages": BOTH},
        {"messages": json.dumps(BOTH)},
        {"conversations": [{"from": "human", "value": "how?"}, {"from": "gpt", "value": "so"}]},
        {"prompt": "how?", "completion": "so"},
        {"instruction": "how?", "output": "so"},
        {"prompt": ASKED, "answer": BOTH[1:]},
        {"messages": [{**one, "name": None} for one in BOTH]},
    ],
)
def test_usual_forms_are_one_row(record):
    assert said(record) == {"messages": BOTH}


def test_pairs_share_what_was_asked():
    worse = {"role": "assistant", "content": "no"}
    wanted = {"prompt": ASKED, "chosen": BOTH[1:], "rejected": [worse]}
    assert said({"prompt": "how?", "chosen": "so", "rejected": "no"}) == wanted
    assert said({"chosen": BOTH, "rejected": [*ASKED, worse]}) == wanted
    assert said({"prompt": "how?", "chosen": BOTH, "rejected": [*ASKED, worse]}) == wanted
    assert said({"q": "how?", "good": "so", "bad": "no"}, prompt="q", chosen="good", rejected="bad") == wanted
    row = conversations.read(conversations.row({"prompt": "how?", "chosen": "so", "rejected": "no"}, NAMES))
    assert conversations.chosen(row) == BOTH and conversations.rejected(row) == [*ASKED, worse]


def test_what_stands_beside_a_question_is_asked_with_it():
    led = {"role": "system", "content": "Be brief."}
    about = {"role": "user", "content": "how?\n\nmoss on bark"}
    assert said({"instruction": "how?", "input": "moss on bark", "output": "so"}) == {
        "messages": [about, BOTH[1]]
    }
    assert said({"instruction": "how?", "input": " ", "output": "so"}) == {"messages": BOTH}
    assert said({"instruction": "how?", "context": None, "response": "so"}) == {"messages": BOTH}
    beside = {"system_prompt": "Be brief.", "question": "how?", "context": "moss on bark", "answer": "so"}
    assert said(beside) == {"messages": [led, about, BOTH[1]]}
    assert said(beside, prompt="question") == {"messages": [led, *BOTH]}
    assert said({"system": "Be brief.", "messages": BOTH}) == {"messages": [led, *BOTH]}
    assert said({"system": "Be long.", "messages": [led, *BOTH]}) == {"messages": [led, *BOTH]}
    # What is called a prompt says all that was asked.
    assert said({"prompt": "how?", "input": "moss on bark", "output": "so"}) == {"messages": BOTH}
    worse = {"role": "assistant", "content": "no"}
    wanted = {"prompt": [led, *ASKED], "chosen": BOTH[1:], "rejected": [worse]}
    assert said({"system": "Be brief.", "question": "how?", "chosen": "so", "rejected": "no"}) == wanted
    assert (
        said({"system": "Be brief.", "prompt": "how?", "chosen": BOTH, "rejected": [*ASKED, worse]}) == wanted
    )
    told = {"question": "how?", "context": "bark", "chosen": BOTH, "rejected": [*ASKED, worse]}
    assert said(told) == {**wanted, "prompt": ASKED}
    data = li.conversations([ROWS[0], {**ROWS[1], "system": "Be brief."}], splits=["train"] * 2)
    assert [len(conversations.read(row.encode())["messages"]) for row in data.rows("train").texts] == [2, 3]
    with pytest.raises(DataError, match="column `input` must hold texts, not int"):
        said({"instruction": "how?", "input": 3, "output": "so"})


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"messages": ASKED}, "must hold an answer"),
        ({"messages": []}, "must be a list of messages, not nothing"),
        ({"messages": None}, "not nothing"),
        ({"messages": [{"role": "usr", "content": "x"}]}, "one of system, user"),
        ({"messages": [*ASKED, {"role": "assistant", "content": None}]}, "must be a text, not NoneType"),
        ({"messages": [*ASKED, {"role": "assistant", "content": "", "tool_calls": [1]}]}, "calls of tools"),
        ({"messages": "[{"}, "or JSON of one"),
        ({"messages": ["x"]}, "a message must be"),
        ({"prompt": "how?", "answer": "\ud800"}, "half a character"),
        ({"chosen": "so", "rejected": "no"}, "must say what was asked"),
        ({"prompt": "how?", "chosen": "so", "rejected": "so"}, "must differ"),
        ({"prompt": "how?", "text": "so"}, "no column looks like the answer"),
    ],
)
def test_what_is_no_conversation_is_named(record, message):
    with pytest.raises(DataError, match=message):
        said(record)


def test_tables_of_texts_stay_texts():
    assert not conversations.claims(["text", "label"], {})
    assert not conversations.claims(["text", "question", "answer"], {})
    assert not conversations.claims(["image", "question", "answer"], {})
    assert not conversations.claims(["messages", "text"], {"text": "text"})
    assert conversations.claims(["question", "answer"], {}) and conversations.claims(["messages", "text"], {})
    assert conversations.claims(["q", "text"], {"prompt": "q"})


ROWS = [{"prompt": f"how many? {row}", "completion": f"{row} of them"} for row in range(40)]


ALPACA = [
    {"instruction": "how many?", "input": f"bark {row}", "output": f"{row} of them"} for row in range(40)
]


def as_messages(row):
    return {"messages": [{"role": "user", "content": row["prompt"]},
                         {"role": "assistant", "content": row["completion"]}]}  # fmt: skip


def test_jsonl_csv_parquet_and_lists_hold_the_same_rows(tmp_path):
    wanted = li.conversations(ROWS)
    for name in ("jsonl", "csv", "pq", "spoken"):
        (tmp_path / name).mkdir()
    (tmp_path / "jsonl" / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "csv" / "a.csv").write_text(
        "prompt,completion\n" + "".join(f"{row['prompt']},{row['completion']}\n" for row in ROWS)
    )
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "pq" / "a.parquet", row_group_size=7)
    pq.write_table(
        pa.Table.from_pylist([as_messages(row) for row in ROWS]), tmp_path / "spoken" / "a.parquet"
    )
    for name in ("jsonl", "csv", "pq", "spoken"):
        data = li.load(str(tmp_path / name))
        assert "conversation" in data.schema and data.labels == []
        for split in ("train", "validation", "test"):
            assert data.splits[split]["digest"] == wanted.splits[split]["digest"]
            assert sorted(data.rows(split).texts) == sorted(wanted.rows(split).texts)
    kept = li.load(str(tmp_path / "spoken"), keep=True)
    assert sorted(kept.rows("train").texts) == sorted(wanted.rows("train").texts)


def test_a_context_comes_out_of_every_kind_of_table(tmp_path):
    wanted = li.conversations(ALPACA)
    assert "bark 1" in " ".join(wanted.rows("train").texts)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ALPACA))
    pq.write_table(pa.Table.from_pylist(ALPACA), tmp_path / "a.parquet", row_group_size=7)
    for name in ("a.jsonl", "a.parquet"):
        data = li.load(str(tmp_path / name))
        assert data.splits["train"]["digest"] == wanted.splits["train"]["digest"]
        assert sorted(data.rows("train").texts) == sorted(wanted.rows("train").texts)


def test_a_row_that_is_none_is_named_with_its_place(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(ROWS[0]) + "\n" + '{"prompt": "x", "completion": null}\n')
    with pytest.raises(DataError, match=r"not nothing") as caught:
        li.load(str(tmp_path / "a.jsonl"))
    assert "row 1" in str(caught.value.where)
    pq.write_table(
        pa.Table.from_pylist([ROWS[0], {"prompt": None, "completion": "x"}]), tmp_path / "b.parquet"
    )
    with pytest.raises(DataError) as caught:
        li.load(str(tmp_path / "b.parquet"))
    assert "row 1" in str(caught.value.where)
    with pytest.raises(DataError) as caught:
        li.conversations([ROWS[0], {"prompt": "x", "completion": 3}])
    assert caught.value.where == "conversations, row 1"


def test_a_tokenizer_is_learnt_from_what_is_said_and_not_from_its_brackets():
    rows = [{"messages": as_messages(row)["messages"]} for row in ROWS]
    spoken = li.prepare.bpe(li.conversations(rows), size=300).assets["tokenizer"]["merges"]
    assert not any("{" in merge or '"' in merge for merge in spoken) and len(spoken) > 10
