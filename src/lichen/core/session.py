"""session: one run: its store, its events, and what must not change a result, such as the device."""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lichen.core import peers
from lichen.core.events import Events, Sink
from lichen.core.store import Store, find_folder


def new_run_id() -> str:
    """Sortable by time, unique without asking anyone."""
    return datetime.now(UTC).strftime("%Y%m%d-%H%M%S-") + os.urandom(3).hex()


@dataclass(kw_only=True)
class Session:
    """The context that steps are called in."""

    store: Store | None = None
    events: Events = field(default_factory=Events)
    run: str = field(default_factory=new_run_id)
    device: str = "auto"
    is_fresh: bool = False
    """Recompute even where the store has the result."""
    measures_again: bool = False
    """Ignore this machine's table of past decisions."""
    verifies: bool = False
    """Re-hash every byte of sources instead of trusting their stats."""
    checkpoint_every_s: float = 15.0
    decisions: dict[str, Any] = field(default_factory=dict)
    """The table of past decisions of a session without a store."""
    counts: dict[str, int] = field(default_factory=lambda: {"computed": 0, "found": 0})

    @property
    def writable(self) -> Store | None:
        """The store, where there is one that may be written, and by this process."""
        is_kept = self.store is not None and not self.store.is_readonly and not peers.follows()
        return self.store if is_kept else None

    def torch_device(self) -> str:
        if self.device != "auto":
            return self.device
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu"


CURRENT: contextvars.ContextVar[Session | None] = contextvars.ContextVar("lichen_session", default=None)
_implicit: dict[tuple[int, Path | None], Session] = {}
_lock = threading.Lock()


def current() -> Session:
    """The session in force: the one opened around the call, or that of the store above the working folder."""
    session = CURRENT.get()
    if session is not None:
        return session
    folder = find_folder()
    with _lock:
        key = (os.getpid(), folder)
        if key not in _implicit:
            _implicit[key] = Session(store=Store(folder) if folder else None)
        return _implicit[key]


@contextmanager
def using(session: Session) -> Iterator[Session]:
    """Runs steps inside a session."""
    token = CURRENT.set(session)
    try:
        yield session
    finally:
        CURRENT.reset(token)


@contextmanager
def opened(
    store: str | Path | Store | None = None,
    *,
    sinks: tuple[Sink, ...] = (),
    device: str = "auto",
    is_fresh: bool = False,
    measures_again: bool = False,
    verifies: bool = False,
    about: Mapping[str, Any] | None = None,
    on_open: Callable[[Session], None] | None = None,
) -> Iterator[Session]:
    """Opens a run on a store: its events go to `runs/<id>/events.jsonl`.

    Args:
        store: a `.lichen` folder (created when missing), an open Store, or None for the nearest one.
        sinks: receive every event.
        about: fields of the event that opens the run.
    """
    if store is None:
        folder = find_folder()
        place = Store(folder) if folder else None
    else:
        place = store if isinstance(store, Store) else Store(store)
    run = new_run_id()
    is_kept = place is not None and not place.is_readonly and not peers.follows()
    path = place.folder / "runs" / run / "events.jsonl" if place and is_kept else None
    session = Session(store=place, events=Events(path, sinks), run=run, device=device, is_fresh=is_fresh,
                      measures_again=measures_again, verifies=verifies)  # fmt: skip
    session.events.emit("run.start", run=run, **(about or {}))
    status = "failed"
    try:
        with using(session):
            if on_open:
                on_open(session)
            yield session
        status = "done"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    finally:
        added = place.added_bytes if place else 0
        session.events.emit("run.end", run=run, status=status, added_bytes=added, **session.counts)
        session.events.close()
        if place is not None and place is not store:
            place.close()
