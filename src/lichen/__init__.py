"""lichen: records the life of a model as autograd records a computation.

    import lichen as li

    data  = li.load("digits")
    model = li.pretrain.train(data, net="mlp", epochs=10)
    small = li.compress.quantize(model, data)
    li.evaluate(small, data)

Stages (`li.pretrain`, `li.compress`, ...) hold the steps, `li.studies` the functions over what was recorded.
Nothing heavy is imported before a step has to run.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    from lichen.core import find, shelves
    from lichen.core.door import FACES, VERBS

    if name == "open":
        return find.load("lichen.core.valuefile:read")
    if name in FACES:
        return find.load(f"lichen.{FACES[name]}:{name}")
    if name in VERBS:
        return find.load("lichen.core.step:Step")(VERBS[name])
    if name in shelves.names():
        return shelves.Shelf(name)
    hint = find.nearest(name, [*FACES, *VERBS, *shelves.names(), "open"])
    raise AttributeError(f"lichen has no `{name}`" + (f"; {hint}" if hint else ""))


def __dir__() -> list[str]:
    from lichen.core import shelves
    from lichen.core.door import FACES, VERBS

    return sorted([*FACES, *VERBS, *shelves.names(), "open", "__version__"])


class _Door(ModuleType):
    """Keeps `li.studies` the shelf after the import system has met the package of that name."""

    def __setattr__(self, name: str, thing: Any) -> None:
        if name != "studies":
            super().__setattr__(name, thing)


sys.modules[__name__].__class__ = _Door
