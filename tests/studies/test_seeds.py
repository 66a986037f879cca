"""test_seeds: a life by other seeds, each scored, and an interval that knows of both kinds of luck."""

import pytest

import lichen as li
from lichen.core import session
from lichen.core.errors import UsageError
from lichen.studies.seeds import seeds as study


def test_a_policy_is_learnt_once_per_seed_and_the_first_is_the_recorded_one(tmp_path):
    with session.opened(tmp_path / ".lichen") as here:
        lamps = li.environment("worlds:Bandit")
        model = li.decide.reinforce(lamps, num_steps=256, num_envs=4, horizon=16)
        before = here.counts["computed"]
        found = study(model, lamps, seeds=3)
        assert here.counts["computed"] - before == 2 + 3  # two lives and three scores
        assert found.values[0] == li.evaluate(model, lamps).value
        assert len(found.values) == 3 and found.low <= found.mean <= found.high
        assert found.unit == "episodes" and "over seeds and episodes" in str(found)
        with pytest.raises(UsageError, match="one seed"):
            study(model, lamps, seeds=1)
