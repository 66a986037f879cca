"""actions: the augmentation policies that a search chooses from: a few numbered actions in turn.

An action is an operation at one of its levels: half its usual strength, the usual, or twice it. Whatever
searches, by chance, by halving or by a learnt controller, moves in this one space.
Paper: Cubuk et al. 2019, "AutoAugment", section 3 (operations with levels as discrete choices).
"""

from __future__ import annotations

from collections.abc import Sequence

from lichen.data import draws
from lichen.data.augment import OPERATIONS

LENGTH = 4
"""Operations of a policy at most."""
SINGLE = {"flip"}
"""Operations of one level: twice the usual flip turns every picture, always."""


def _levels(op: str) -> list[float]:
    usual, _, greatest = OPERATIONS[op]
    return [usual] if op in SINGLE else sorted({usual / 2, usual, min(2 * usual, greatest)})


KNOWN = (
    {"trivialaugment"},
    {"flip", "crop"},
    {"flip", "crop", "cutout"},
    {"flip", "crop", "trivialaugment"},
    {"flip", "crop", "trivialaugment", "cutmix"},
    {"flip", "trivialaugment", "cutmix"},
    {"flip", "crop", "cutmix"},
)
"""What has served many: tried first, at its usual strengths."""
LEVELS = {op: _levels(op) for op in OPERATIONS}
ACTIONS = tuple((op, level) for op in LEVELS for level in LEVELS[op])
"""Every (operation, strength) in the order of its number."""


def ops_of(chosen: Sequence[int]) -> list[dict[str, float]]:
    """What `augment.policy` takes as `ops`; of two actions of one operation the later counts."""
    found = dict(ACTIONS[number] for number in chosen)
    return [{op: found[op]} for op in OPERATIONS if op in found]


def drawn(count: int, seed: int) -> list[list[dict[str, float]]]:
    """Different policies: those that are known first, then 1 to LENGTH operations by chance.

    Each operation is alike likely then, each at any of its levels alike.
    """
    import numpy as np

    found = [[{op: OPERATIONS[op][0]} for op in OPERATIONS if op in names] for names in KNOWN[:count]]
    trial = 0
    while len(found) < count:
        uniforms_D = draws.uniforms(np.array([trial]), np.arange(1 + 2 * LENGTH), seed=seed, epoch=0)[0]
        ops = _drawn(uniforms_D.tolist())
        if ops not in found:
            found.append(ops)
        trial += 1
    return found


def _drawn(uniforms_D: list[float]) -> list[dict[str, float]]:
    names, picked = list(OPERATIONS), []
    for place in range(1 + int(uniforms_D[0] * LENGTH)):
        op = names.pop(int(uniforms_D[1 + 2 * place] * len(names)))
        level = LEVELS[op][int(uniforms_D[2 + 2 * place] * len(LEVELS[op]))]
        picked.append(ACTIONS.index((op, level)))
    return ops_of(picked)
