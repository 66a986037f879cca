"""policy: a literal table of operations checks recipes; the data's rows and labels stay as they are."""

import pytest
import torch

import lichen as li
from lichen.core import flow, recipefile, signature
from lichen.core.errors import OptionError, RecipeError
from lichen.data import batches

RECIPE = "lichen: 1\ndata: digits\nsteps:\n  - augment.policy: {ops: %s}\n"


def rows(seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (60, 3, 8, 8), dtype=torch.uint8, generator=generator)
    return li.arrays(images, torch.arange(60) % 3)


def test_strengths_fill_in_and_zero_leaves_out():
    data = li.augment.policy(rows(), ops=["flip", {"rotate": 30}, {"zoom": 0}])
    assert data.policy == [{"op": "flip", "strength": 0.5}, {"op": "rotate", "strength": 30.0}]


def test_labels_and_rows_are_untouched_and_epochs_differ():
    data = rows()
    varied = li.augment.policy(data, ops=["shift", "rotate"])
    assert varied.splits == data.splits and varied.schema == data.schema
    plain = batches.of(data.rows("train"), batch_size=16, seed=1)
    made = batches.of(varied.rows("train"), batch_size=16, seed=1, policy=varied.policy)
    for (
        (_, y, ids, _),
        (x, y2, ids2, _),
        (again, *_),
    ) in zip(plain.epoch(0), made.epoch(0), made.epoch(0)):
        assert torch.equal(y, y2) and torch.equal(ids, ids2) and torch.equal(x, again)


def test_taking_it_out_of_a_life_leaves_the_data():
    assert signature.of("steps", "augment.policy").removal() == "identity"


def test_equal_schemas_with_other_rows_do_not_share_a_call(tmp_path):
    with li.opened(tmp_path / ".lichen"):
        first, second = li.augment.policy(rows(0)), li.augment.policy(rows(1))
        assert first.splits != second.splits
        assert li.augment.policy(rows(0)).digest == first.digest


@pytest.mark.parametrize(
    "ops, said",
    [("[flip, rotat]", "did you mean `rotate`"), ("[{rotate: 900}]", "from 0 to 180"), ("flip", "a list"),
     ("[flip, flip]", "stands twice"), ("[{flip: yes}]", "from 0 to 1")],
)  # fmt: skip
def test_a_recipe_with_a_wrong_operation_is_refused_before_it_runs(ops, said):
    with pytest.raises(RecipeError, match=said):
        flow.check(recipefile.parse(RECIPE % ops))


def test_recipes_take_names_and_mappings():
    flow.check(recipefile.parse(RECIPE % "[shift, {rotate: 15}, {zoom: 0.1, shear: 5}]"))


def test_the_step_itself_refuses_too():
    with pytest.raises(OptionError, match="did you mean `cutout`"):
        li.augment.policy(rows(), ops=["cutot"])
