"""test_search: the report says which way to choose won, or that nobody did."""

from dataclasses import replace

import pytest

import lichen as li
from lichen.core import session
from lichen.report import findings, page, questions, search
from lichen.studies.search import Found, Pair, Search

FOUND = tuple(
    Found(
        way=way,
        choices=(f"<i>{way}</i>", "other"),
        worth=value + 0.1,
        value=value,
        asked=asked,
        line="- step: {}",
    )
    for way, value, asked in (("rl", 0.5, 40), ("greedy", 0.6, 40), ("usual", 0.4, 1))
)
PAIRS = (
    Pair(one="greedy", other="rl", better=0.1, low=0.05, high=0.15),
    Pair(one="greedy", other="usual", better=0.2, low=0.1, high=0.3),
    Pair(one="rl", other="usual", better=0.1, low=-0.05, high=0.25),
)
STUDY = Search(what="ratios", metric="accuracy", algorithm="dqn", found=FOUND, first="greedy", pairs=PAIRS,
               level=0.95, num_rows=500, num_seeds=3)  # fmt: skip


@pytest.fixture
def told(tmp_path):
    """What the report finds of a study that a life has seen."""
    with session.opened(tmp_path / ".lichen") as opened:
        world = li.environment("worlds:Bandit")
        model = li.decide.reinforce(world, num_steps=64, num_envs=2, judge_episodes=0)

        def told(study):
            opened.events.emit("study", study="search", digest=model.digest, found=study.as_json())
            return findings.gather(model, opened)

        yield told


def test_who_won_is_said_with_its_lead_over_each_other_way(told):
    text = search.search(found := told(STUDY))
    assert "greedy won." in text and "rl, by decide.dqn" in text and "500 rows" in text
    assert "greedy beside the others" in text and "rl: +0.1000" in text and "usual: +0.2000" in text
    assert text.index("<b>greedy</b>") < text.index("rl, by") and "<i>rl" not in text
    assert text in page.html(found)


def test_a_lead_that_may_be_chance_wins_nothing(told):
    close = replace(PAIRS[0], low=-0.01)
    assert "Nobody won: greedy came first" in search.search(told(replace(STUDY, pairs=(close, *PAIRS[1:]))))


def test_what_was_not_studied_says_how_to(told):
    found = replace(told(STUDY), search=None)
    assert not search.search(found) and f"lichen search {found.value.id}" in questions.questions(found)
