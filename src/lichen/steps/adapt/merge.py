"""merge: fold an adapter into its base: one plain net that answers as both did.

Every step does this where it needs to; a merged model is a base for another adapter.
"""

from __future__ import annotations

from lichen.core.errors import UsageError
from lichen.core.model import Model
from lichen.core.step import step


@step(splits=())
def merge(model: Model) -> Model:
    """Adds an adapter's tensors to those of its base.

    Raises:
        UsageError: the model has no adapter.
    """
    if not model.is_adapted:
        raise UsageError("the model must have an adapter to be merged", hint="adapt.adapter trains one")
    return model.with_weights(model.weights())
