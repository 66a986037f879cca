"""test_studies: a study's mapping reads as `name=number`, and its no is an exit code."""

from __future__ import annotations

import pytest

from lichen.cli.studies import VERBS, _mapping
from lichen.studies import compress


def test_a_mapping_is_read_as_pairs_or_as_yaml():
    wanted = {"speedup": 4, "size_bytes": 2e6}
    assert _mapping("speedup=4,size_bytes=2e6") == _mapping("{speedup: 4, size_bytes: 2e6}") == wanted
    assert _mapping("speedup=4, size_bytes=2e6") == wanted


def test_a_truth_is_read_as_recipes_have_it():
    ((_, keywords),) = [flag for flag in VERBS["fidelity"].arguments if flag[0] == ("--inception",)]
    assert [keywords["type"](said) for said in ("true", "false", "perhaps")] == [True, False, "perhaps"]


@pytest.mark.parametrize(("words", "code", "said"), [
    (("--target", "latency=5"), 2, "did you mean `latency_ms`?"),
    (("--target", "speedup"), 2, "`speedup` in option `target` must be a number above 0"),
    (("--target", "speedup=fast"), 2, "must be a number above 0, not 'fast'"),
    (("--target", "speedup=[1"), 2, "speedup=[1"),
    (("--profile", "cores=1"), 2, "unknown `cores` in option `profile`"),
    (("--profile", "threads=1.5"), 2, "must be whole"),
    (("--max-drop", "2"), 2, "option `max_drop` must be a number from 0 to 1"),
])  # fmt: skip
def test_a_wrong_question_is_told_before_anything_runs(lichen, home, words, code, said):
    told = lichen("compress", "small", *words)
    assert (told.code, said in told.err) == (code, True), told.err


@pytest.mark.parametrize(("says_no", "code"), [(True, 1), (False, 0)])
def test_a_study_that_answers_no_exits_with_1(lichen, home, monkeypatch, says_no, code):
    class Found:
        def as_json(self):
            return {}

        def __str__(self):
            return "cannot" if says_no else "yes"

    Found.says_no = says_no
    monkeypatch.setattr(compress, "compress", lambda *values, **options: Found())
    told = lichen("compress", "small")
    assert told.code == code and told.out.strip() == str(Found())
