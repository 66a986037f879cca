"""environment: what an agent acts in, by its address and options; where decisions are learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from lichen.core.value import Value


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Environment(Value):
    """An environment by address (`gymnasium/CartPole-v1`, `module:Env`), options and wrappers."""

    kind: ClassVar[str] = "environment"

    @classmethod
    def build(
        cls, *, address: str, options: Mapping[str, Any], wrappers: list[Mapping[str, Any]]
    ) -> Environment:
        manifest = {"kind": "environment", "address": address, "options": dict(options), "wrappers": wrappers}
        return cls(manifest=manifest)

    @property
    def address(self) -> str:
        return self.manifest["address"]

    def facts(self) -> dict[str, str]:
        return {"address": self.address}
