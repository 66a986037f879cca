"""schedules: the learning rate as a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable

from lichen.core.errors import OptionError, nearest

STEP_AT = (0.5, 0.75)
"""Where the `step` schedule divides by ten: He et al. 2016, section 4.2."""


def factor(name: str, step: int, *, total: int, warmup: int = 0, cooldown: float = 0.4) -> float:
    """The multiple of the peak rate at a step (0-based) of `total`; it rises linearly over `warmup` steps.

    Args:
        cooldown: the share of the steps over which `wsd` falls.

    Raises:
        OptionError: no schedule of that name.
    """
    if name not in SHAPES:
        raise OptionError(f"unknown schedule `{name}`", hint=nearest(name, SHAPES))
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if name == "wsd":
        return _wsd(step / total, cooldown)
    return SHAPES[name]((step - warmup) / max(1, total - warmup))


def _constant(part: float) -> float:
    return 1.0


def _cosine(part: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * part))


def _linear(part: float) -> float:
    return 1.0 - part


def _triangular(part: float) -> float:
    """Up over the first fifth, then down to zero."""
    return part / 0.2 if part < 0.2 else (1.0 - part) / 0.8


def _wsd(part: float, cooldown: float = 0.4) -> float:
    """Warmup, stable, decay: even, then down to zero (Hu et al. 2024; linearly, as Hägele et al. 2024)."""
    return min(1.0, (1.0 - part) / cooldown) if cooldown else 1.0


def _step(part: float) -> float:
    return 0.1 ** sum(part >= at for at in STEP_AT)


SHAPES: dict[str, Callable[[float], float]] = {
    "constant": _constant, "cosine": _cosine, "linear": _linear, "triangular": _triangular, "step": _step,
    "wsd": _wsd,
}  # fmt: skip
