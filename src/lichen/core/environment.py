"""environment: what an agent acts in, by its address, options and wrappers; where decisions are learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lichen.core import find
from lichen.core.value import Value

if TYPE_CHECKING:
    from lichen.core.model import Model
    from lichen.core.program import Program
    from lichen.core.scores import Scores

BOARDS = "lichen.data.boards"
"""Where board games become environments; their rules are another package's."""
ARCADE = "lichen.data.arcade"
"""Where games of a console do; they are another package's too."""
RULES = {BOARDS: "pettingzoo", ARCADE: "ale_py"}
LIBRARY = "gymnasium/"
"""What the addresses of registered environments begin with; others are a user's `module:Env`."""
FAMILIES = {
    "Box2D": ("LunarLander", "LunarLanderContinuous", "BipedalWalker", "BipedalWalkerHardcore", "CarRacing"),
    "mujoco": ("Ant", "HalfCheetah", "Hopper", "Humanoid", "HumanoidStandup", "InvertedDoublePendulum",
               "InvertedPendulum", "Pusher", "Reacher", "Swimmer", "Walker2d"),
    "minigrid": ("MiniGrid", "BabyAI"),
}  # fmt: skip
"""What registered ids begin with, up to a dash, by the package that moves their worlds."""
MOVED_BY = {family: package for package, families in FAMILIES.items() for family in families}


def package_of(address: str) -> str | None:
    """The package whose code decides what happens, beside Gymnasium; None: no other, or the user's own."""
    if not address.startswith(LIBRARY):
        return RULES.get(address.partition(":")[0])
    return MOVED_BY.get(address.removeprefix(LIBRARY).rpartition(":")[2].partition("-")[0])


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Environment(Value):
    """An environment by address (`gymnasium/CartPole-v1`, `module:Env`), options and wrappers.

    `observation` is `{"shape", "dtype"}` of what an agent sees; `action` is `{"num"}` of discrete actions, or
    `{"low", "high"}` of continuous ones. Its splits are seeds: training, validation and test never share one.
    """

    kind: ClassVar[str] = "environment"

    @classmethod
    def build(
        cls,
        *,
        address: str,
        options: Mapping[str, Any],
        wrappers: Sequence[Mapping[str, Any]],
        observation: Mapping[str, Any],
        action: Mapping[str, Any],
    ) -> Environment:
        """An environment that was looked at.

        Args:
            wrappers: `{"name", "options"}` each, the innermost first.
        """
        manifest = {
            "kind": "environment", "address": address, "options": dict(options),
            "wrappers": [dict(one) for one in wrappers], "observation": dict(observation),
            "action": dict(action),
        }  # fmt: skip
        return cls(manifest=manifest)

    @property
    def address(self) -> str:
        return self.manifest["address"]

    @property
    def options(self) -> Mapping[str, Any]:
        return self.manifest["options"]

    @property
    def wrappers(self) -> Sequence[Mapping[str, Any]]:
        return self.manifest["wrappers"]

    @property
    def observation(self) -> Mapping[str, Any]:
        return self.manifest["observation"]

    @property
    def action(self) -> Mapping[str, Any]:
        return self.manifest["action"]

    @property
    def num_actions(self) -> int | None:
        """How many discrete actions there are; None: they are continuous."""
        return self.action.get("num")

    def modules(self) -> list[str]:
        """The modules whose code decides what happens in it, beside that of `others`."""
        package = package_of(self.address)
        moved = [package] if package else []
        return ["lichen.engine.decision.episodes", "gymnasium", *moved]

    def others(self) -> list[Any]:
        """What others wrote and what decides too: modules, `module:Name` addresses, classes and functions,
        and what a registered id is made with."""
        named = [one["name"] for one in self.wrappers if ":" in one["name"]]
        if not self.address.startswith(LIBRARY):
            return [self.address, *named]
        module = self.address.removeprefix(LIBRARY).rpartition(":")[0]
        if (spec := self.registered()) is None:
            return [module, *named] if module else named
        within = spec.additional_wrappers
        made = [module, spec.entry_point, spec.vector_entry_point, *(one.entry_point for one in within)]
        told = [spec.kwargs, spec.max_episode_steps, [[one.name, one.kwargs] for one in within]]
        return [*filter(None, made), told, *named]

    def registered(self) -> Any | None:
        """What Gymnasium's registry says of an id that others registered; None: its own id, or no id."""
        module, _, bare = self.address.removeprefix(LIBRARY).rpartition(":")
        envs = find.file_of("gymnasium.envs")
        if not self.address.startswith(LIBRARY) or envs is None or f'"{bare}"' in envs.read_text("utf-8"):
            return None  # of its own ids it is the version that counts, and nothing is imported for them
        if module and find.file_of(module) is not None:
            find.load(module)
        return find.load("gymnasium:registry").get(bare)

    def play(self, policy: Model | Program, *, split: str, episodes: int, device: str = "cpu") -> Scores:
        """What a policy earns in it when it acts greedily, on the seeds of a split."""
        return find.load("lichen.engine.decision.episodes:score")(
            policy, self, split, episodes, device=device
        )

    def facts(self) -> dict[str, str]:
        shape = "x".join(map(str, self.observation["shape"]))
        actions = self.num_actions or f"{len(self.action['low'])} continuous"
        facts = {"address": self.address, "observation": shape, "actions": str(actions)}
        if self.wrappers:
            facts["wrappers"] = "+".join(one["name"] for one in self.wrappers)
        return facts
