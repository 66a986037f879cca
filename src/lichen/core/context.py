"""context: what one step call is handed while it runs: its decisions, events and checkpoints."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from lichen.core import machine, peers
from lichen.core.array import Array
from lichen.core.digest import canonical
from lichen.core.errors import LichenError
from lichen.core.packing import pack, unpack
from lichen.core.records import now
from lichen.core.session import Session
from lichen.core.value import Memory, find_blobs

NEVER = object()
"""No choice was made before; a choice may be None."""


class Context:
    """The `Run` of one call (see `progress.Run` for the contract).

    Args:
        replayed: decisions of a recorded call, to be taken as they were; None: none.
    """

    def __init__(
        self, session: Session, step: str, key: str, replayed: Mapping[str, Any] | None = None
    ) -> None:
        self.session = session
        self.step = step
        self.key = key
        self.replayed = replayed
        self.decisions: dict[str, Any] = {}
        self.devices: set[str] = set()
        self._last_checkpoint_s = time.monotonic()

    @property
    def device(self) -> str:
        device = self.session.torch_device()
        self.devices.add(device)
        return device

    def environment(self) -> dict[str, Any]:
        """Where this call ran: the machine, the accelerator that it asked for, how many shared the work."""
        found = machine.environment()
        if "cuda" in self.devices:
            import torch

            found = {**found, "device": torch.cuda.get_device_name()}
        if (group := peers.here()) is not None:
            found = {**found, "ranks": group.world}
        return found

    def decide(self, name: str, measure: Callable[[], Any], *, about: Mapping[str, Any] | None = None) -> Any:
        choice, origin = peers.settled(lambda: self._settled(name, measure, about))
        self.decisions[name] = choice
        self.emit("decision", name=name, choice=choice, origin=origin)
        return choice

    def recorded(self, name: str) -> Any:
        return (self.replayed or {}).get(name)

    def _settled(
        self, name: str, measure: Callable[[], Any], about: Mapping[str, Any] | None
    ) -> tuple[Any, str]:
        """The choice, and where it comes from."""
        if self.replayed is not None and name in self.replayed:
            return self.replayed[name], "replayed"
        if about is not None and name in self._before_the_kill:
            return self._before_the_kill[name], "kept"
        if (choice := self._past(name, about)) is not NEVER:
            return choice, "remembered"
        choice = json.loads(canonical(measure()))
        self._remember(name, about, choice)
        return choice, "measured"

    @cached_property
    def _before_the_kill(self) -> dict[str, Any]:
        """What a killed run of this call had decided at its last checkpoint, also where it measured again."""
        row = self._checkpoint()
        return json.loads(row["manifest"]).get("decisions", {}) if row else {}

    def _checkpoint(self) -> Any:
        store = self.session.store
        return store and store.records.row("SELECT manifest FROM checkpoints WHERE key = ?", [self.key])

    def _past(self, name: str, about: Mapping[str, Any] | None) -> Any:
        if about is None or self.session.measures_again:
            return NEVER
        where = [machine.fingerprint(), self.step, name, canonical(about).decode()]
        if (choice := self.session.decisions.get(canonical(where).decode(), NEVER)) is not NEVER:
            return choice
        if self.session.store is None:
            return NEVER
        row = self.session.store.records.row(
            "SELECT choice FROM decisions WHERE machine = ? AND step = ? AND name = ? AND about = ?", where
        )
        return json.loads(row["choice"]) if row else NEVER

    def _remember(self, name: str, about: Mapping[str, Any] | None, choice: Any) -> None:
        if about is None:
            return
        where = [machine.fingerprint(), self.step, name, canonical(about).decode()]
        store = self.session.writable
        if store is None:
            self.session.decisions[canonical(where).decode()] = choice
        else:
            store.records.replace(
                "decisions", machine=where[0], step=where[1], name=where[2], about=where[3],
                choice=json.dumps(choice), at=now(),
            )  # fmt: skip

    def emit(self, kind: str, **fields: Any) -> None:
        self.session.events.emit(kind, step=self.step, key=self.key[:16], **fields)

    def wants_checkpoint(self) -> bool:
        if self.session.writable is None:
            return False
        return time.monotonic() - self._last_checkpoint_s >= self.session.checkpoint_every_s

    def checkpoint(self, state: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        store = self.session.writable
        if store is None:
            return
        memory, kept = Memory(), store.unfinished.objects(self.key)
        manifest = {"state": dict(state), "arrays": pack(arrays, memory), "decisions": self.decisions}
        blobs = dict.fromkeys(find_blobs(manifest))
        for blob in blobs:
            kept.put(blob, memory.get(blob))
        store.records.replace("checkpoints", key=self.key, manifest=json.dumps(manifest), at=now())
        for blob in set(kept) - blobs.keys():
            kept.remove(blob)
        self._last_checkpoint_s = time.monotonic()

    def restore(self) -> tuple[dict[str, Any], dict[str, Array]] | None:
        store, row = self.session.store, self._checkpoint()
        if store is None or row is None:
            return None
        manifest = json.loads(row["manifest"])
        kept = store.unfinished.objects(self.key)
        try:
            arrays = {name: unpack(entry, kept) for name, entry in manifest["arrays"].items()}
        except LichenError as error:
            self.emit("warning", text=f"the checkpoint cannot be read ({error.message}): from the start")
            return None
        self.emit("note", text="going on from a checkpoint")
        return manifest["state"], arrays
