"""draws: random numbers that are a function of (seed, epoch, row, draw), so that no generator carries state.

`mix` is the finaliser of SplitMix64 (Steele, Lea and Flood 2014) in wrapping signed 64-bit arithmetic; it
takes numpy or torch int64 arrays alike, on any device.

Shapes: B rows, D draws.
"""

from __future__ import annotations

from typing import Any

GOLDEN = 0x9E3779B97F4A7C15


def signed(number: int) -> int:
    """The number modulo 2**64 as a signed 64-bit one."""
    number &= 2**64 - 1
    return number - 2**64 if number >= 2**63 else number


FIRST, SECOND = signed(0xBF58476D1CE4E5B9), signed(0x94D049BB133111EB)


def mix(x: Any) -> Any:
    """int64 -> int64, a bijection whose output bits look independent of the input's."""
    x = (x ^ (x >> 30 & (2**34 - 1))) * FIRST
    x = (x ^ (x >> 27 & (2**37 - 1))) * SECOND
    return x ^ (x >> 31 & (2**33 - 1))


def mix_number(number: int) -> int:
    """`mix` of one Python number."""
    x = number & (2**64 - 1)
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & (2**64 - 1)
    return signed(x ^ x >> 31)


def key(seed: int, epoch: int) -> int:
    """What every row of one epoch shares."""
    return mix_number(mix_number(seed + GOLDEN) ^ (epoch + 1) * GOLDEN)


def hashes(ids_B: Any, *, seed: int, epoch: int) -> Any:
    """int64 (B,): one hash per row and epoch."""
    return mix(mix(ids_B ^ key(seed, epoch)))


def uniforms(ids_B: Any, draws_D: Any, *, seed: int, epoch: int) -> Any:
    """Floats (B, D) in [0, 1) with 24 bits, exact in float32.

    Args:
        ids_B: int64 row ids.
        draws_D: int64 numbers of the draws, usually 0..D-1, of the same library and device.
    """
    rows_B = hashes(ids_B, seed=seed, epoch=epoch)
    mixed_BD = mix(rows_B[:, None] + (draws_D[None, :] + 1) * signed(GOLDEN))
    return (mixed_BD >> 40 & (2**24 - 1)) * 2.0**-24
