"""merge: fold an adapter into its base: one plain net that answers as both did.

Every step does this where it needs to; a merged model is a base for another adapter.
"""

from __future__ import annotations

from lichen.core.model import Model
from lichen.core.step import step


@step(splits=())
def merge(model: Model) -> Model:
    """Adds an adapter's tensors to those of its base; a model without an adapter stays as it is.

    Raises:
        AdapterError: the model is an adapter alone.
    """
    return model.with_weights(model.weights()) if model.is_adapted else model
