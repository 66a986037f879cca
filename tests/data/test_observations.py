"""test_observations: logs of somebody else's agent become what `decide.record` makes, and are learnt from."""

import numpy as np
import pytest

import lichen as li
from lichen.core import session
from lichen.core.errors import DataError, OptionError
from lichen.core.session import Session
from lichen.data import observations

DRAWS = np.random.default_rng(0)
SEEN = DRAWS.normal(size=(600, 3)).astype("float32")
EPISODES = np.arange(600) // 10
TURNS = (SEEN[:, 0] > 0).astype(int)
PUSHES = np.clip(SEEN[:, :2], -0.9, 0.9) * [2.0, 4.0]


def test_rows_of_an_episode_stay_in_one_split_and_are_what_was_given():
    data = li.observations(SEEN, TURNS, episodes=EPISODES)
    held = {tuple(row): number for number, row in enumerate(SEEN.tolist())}
    found = {}
    for split in ("train", "validation", "test"):
        rows = data.rows(split)
        places = np.array([held[tuple(row)] for row in rows.whole().tolist()])
        assert rows.actions().tolist() == TURNS[places].tolist()
        found[split] = set(EPISODES[places])
        assert len(places) == 10 * len(found[split]) > 0
    assert sum(map(len, found.values())) == 60


def test_they_are_the_rows_that_a_record_makes():
    splits = np.array(["train"] * 400 + ["validation"] * 100 + ["test"] * 100)
    names = ["train", "validation", "test"]
    seen, done, pushed = ({name: part[splits == name] for name in names}
                          for part in (SEEN, TURNS, (PUSHES / [2.0, 4.0]).astype("float32")))  # fmt: skip
    turned = observations.dataset(seen, done, labels=["0", "1"])
    assert li.observations(SEEN, TURNS, splits=splits.tolist()).digest == turned.digest
    low, high = [-2.0, -4.0], [2.0, 4.0]
    data = li.observations(SEEN, PUSHES.astype("float32"), splits=splits.tolist(), low=low, high=high)
    assert dict(data.schema["observation"]) == {"shape": [3], "low": low, "high": high}
    np.testing.assert_allclose(data.rows("test").actions(), pushed["test"], atol=1e-6)


@pytest.mark.parametrize("is_discrete", [True, False])
def test_a_policy_is_cloned_from_a_log(is_discrete):
    with session.using(Session()):
        data = (li.observations(SEEN, TURNS, episodes=EPISODES) if is_discrete
                else li.observations(SEEN, PUSHES, low=[-2.0, -4.0], high=[2.0, 4.0]))  # fmt: skip
        policy = li.decide.clone(data, net_options={"width": 16}, epochs=10, rate=0.02)
        assert li.evaluate(policy, data).value > 0.9


@pytest.mark.parametrize(
    "given, options, error, words",
    [
        ((np.where(np.arange(600)[:, None] == 7, np.nan, SEEN), TURNS), {}, DataError, "finite(.|\n)*row 7"),
        ((SEEN, TURNS[:-1]), {}, DataError, "one action per row"),
        ((SEEN[:, 0], TURNS), {}, DataError, "one action per row"),
        ((SEEN, TURNS), {"labels": ["left"]}, DataError, "below the 1 labels"),
        ((SEEN, TURNS), {"episodes": EPISODES[:-1]}, DataError, "one episode per row"),
        ((SEEN, TURNS), {"episodes": EPISODES, "splits": ["train"] * 600}, OptionError, "episodes"),
        ((SEEN, PUSHES), {}, OptionError, "need bounds"),
        ((SEEN, PUSHES), {"low": 1.0, "high": -1.0}, OptionError, "below"),
        ((SEEN, PUSHES), {"low": [-1.0] * 3, "high": 1.0}, OptionError, "or 2, not"),
        ((SEEN, PUSHES), {"low": -2.0, "high": 2.0}, DataError, "within its bounds(.|\n)*row"),
    ],
)
def test_a_log_that_says_nothing_is_refused(given, options, error, words):
    with pytest.raises(error, match=words):
        li.observations(*given, **options)
