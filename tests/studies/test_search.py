"""test_search: a way is called the winner only where it is better than every other."""

import pytest
from planted import BEST, GAME

from lichen.core.errors import UsageError
from lichen.studies import search as study


def test_a_winner_is_named_only_where_it_is_better_than_every_other():
    near, far = BEST, (0, 3, 0)
    clear = {"rl": [near] * 3, "random": [far] * 3, study.USUAL: [GAME.usual] * 3}
    found = study._judged(GAME, clear, "ratios", "dqn", 60, 0.95)
    assert found.first == found.winner == "rl" and "rl won" in str(found)
    tied = {"rl": [near] * 3, "tpe": [near] * 3, study.USUAL: [GAME.usual] * 3}
    found = study._judged(GAME, tied, "ratios", "dqn", 60, 0.95)
    assert found.winner is None and "nobody won" in str(found)
    assert {pair.verdict for pair in found.pairs} == {"better", "no measurable difference"}


@pytest.mark.parametrize("options, words", [({"seeds": 1}, "luck"), ({"budget": 5}, "at least")])
def test_what_could_name_no_winner_is_refused(options, words):
    with pytest.raises(UsageError, match=words):
        study.search(None, None, **options)
