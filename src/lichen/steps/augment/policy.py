"""policy: say how train rows are varied: each row anew in every epoch, by draws of its own.

Nothing is computed here: the policy travels with the data, and whatever trains on it applies it to each
batch. Validation and test rows are never varied.
"""

from __future__ import annotations

from typing import Annotated

from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.schema import Table
from lichen.core.step import step
from lichen.data import augment


@step(splits=())
def policy(
    data: Dataset,
    *,
    ops: Annotated[list, Table("lichen.data.augment:OPERATIONS")] = ["flip", "crop"],  # noqa: B006
    favour: dict | None = None,
) -> Dataset:
    """Replaces the augmentation policy of a dataset.

    Args:
        ops: operations by name, or each with its strength: `[flip, {rotate: 30}]`. The strength of flip is a
            probability; of crop, shift and cutout a share of the picture's side; of rotate and shear degrees;
            of zoom and colour a share of what is there; of blur pixels; of trivialaugment, randaugment and
            augmix a share of the furthest that their operations go; of mixup and cutmix the parameter of
            their Beta distribution: a loss of your own then gets targets as shares of the classes (B, K). 0
            leaves an operation out.
        favour: how many times its equal share trivialaugment and randaugment draw an operation, such as
            {"rotate": 3, "equalize": 0.5}; each row is weighted so that the expected loss stays the same.

    Raises:
        UsageError: the rows are no pictures.
        OptionError: what is favoured is no operation that is drawn, or not by a number above 0.
    """
    if ops and not {"image", "observation"} & data.schema.keys():
        hint = "augment.smote adds rows between those of a table" if "tabular" in data.schema else None
        raise UsageError("operations vary pictures; these rows are none", hint=hint)
    return data.with_policy(augment.policy_of(ops, favour))
