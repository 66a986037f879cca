"""warm: a process with everything imported; it lives recipes in forked children, watched by the shim.

Reads orders as JSON lines and answers each with one line. Run by `harness.Warm`, with the shim preloaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

SHIM = ctypes.CDLL(None)
STEPS = ("prepare.load", "augment.policy", "pretrain.train", "adapt.finetune", "assess.evaluate")
"""Of the recipes that are lived."""
HOW = {"nothing": 0, "before": 1, "middle": 2, "full": 3}


def mark(text: str) -> None:
    SHIM.shim_mark(text.encode())


def serve() -> None:
    """One forked child per order."""
    import sklearn.datasets  # noqa: F401
    import torch  # noqa: F401

    with contextlib.suppress(ImportError):  # of the extra `team`
        import psycopg  # noqa: F401
        import s3fs  # noqa: F401
    import lichen.studies  # noqa: F401
    from lichen.core import find

    for module in ("lichen.engine.fit", "lichen.data.readers.arrays", "lichen.cli.lives", "lichen.cli.main",
                   "lichen.core.check"):  # fmt: skip
        find.load(f"{module}:__doc__")
    _not_by_measuring()
    _parsed_once()
    gc.freeze()  # a child that collects would copy every page of what is imported here
    for line in sys.stdin:
        print(json.dumps(_ordered(json.loads(line))), flush=True)


def _not_by_measuring() -> None:
    """Every store would choose its own threads and layouts, and equal digests would hang on the clock."""
    from lichen.engine.training import execution

    execution._fastest = lambda module, batch, objective, precision, num_steps: execution.Execution()


def _parsed_once() -> None:
    """A new store knows of no source, and to parse a hundred of them takes longer than to live a recipe.

    Children still look up, remember and write down what they met; only the parsing of a file is not repeated.
    """
    from lichen.core import code, find, key

    used = [*map(key.step_module, STEPS), *map(find.net_module, ("mlp", "cnn"))]
    for module in used:
        find.load(f"{module}:__doc__")
    code.parse = lru_cache(maxsize=None)(code.parse)  # type: ignore[assignment]
    code.closure([*find.BEHIND_VALUES, *key.reader_modules(), *used])
    code._walks.clear()
    code.MEMO.entries.clear()
    code.MEMO.is_dirty = False


def _ordered(order: dict[str, Any]) -> dict[str, Any]:
    out, back = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        _child(order, back)
    os.close(back)
    if order.get("kill_after_s") is not None:
        time.sleep(order["kill_after_s"])
        os.kill(child, signal.SIGKILL)
    with os.fdopen(out) as pipe:
        said = [json.loads(line) for line in pipe if line.endswith("\n")]
    _, status = os.waitpid(child, 0)
    return {"code": os.waitstatus_to_exitcode(status), "said": said}


def _child(order: dict[str, Any], back: int) -> None:
    def say(**fields: Any) -> None:
        os.write(back, json.dumps(fields).encode() + b"\n")

    record = os.open(order["record"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if order.get("record") else -1
    code = 70
    os.environ.update(order.get("environment", {}))
    try:
        if order.get("is_powerless"):
            _give_up_rights()
        os.chdir(order["folder"])
        for defect in order.get("defects", ()):
            DEFECTS[defect]()
        if order.get("pause_s"):
            _pauses(order["pause_s"])
        SHIM.shim_arm(order["folder"].encode(), order.get("at", -1), HOW[order.get("how", "nothing")], record)
        code = WORK[order["work"]](order, say)
    except BaseException as error:  # noqa: BLE001
        say(error=f"{type(error).__name__}: {error}")
    finally:
        say(done=SHIM.shim_done())
        os._exit(code)


def _give_up_rights() -> None:
    """Root then needs the permissions that the owner of a file needs."""

    class Head(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]

    nothing = (ctypes.c_uint32 * 6)()
    if SHIM.capset(ctypes.byref(Head(0x20080522, 0)), ctypes.byref(nothing)):
        raise OSError("capabilities cannot be dropped")


def live(order: dict[str, Any], say: Callable[..., None]) -> int:
    """Lives a recipe; says every finished step as soon as the user could know of it."""
    from lichen.core import life, recipefile, session

    sys.path[:0] = [str(Path("units").absolute())]

    def after(line: Any, result: Any, chain: Any) -> None:
        outputs = {name: value.digest for name, value in life.fields_of(result).items()}
        key = next(iter(life.fields_of(result).values())).made.call.key
        mark(json.dumps([key, outputs]))
        say(key=key, outputs=outputs)

    trained = _counted(order.get("die_after_batches"))
    with session.opened(Path(".lichen").absolute()) as here:
        here.checkpoint_every_s = order.get("checkpoint_every_s", 1e9)
        chain = life.run(recipefile.read("recipe.yaml"), here, after=after)
        assert here.store is not None
        here.store.names.move("last", chain.current["model"])
        mark("named")
        say(named=chain.current["model"].digest, batches=len(trained), **here.counts)
    return 0


def _counted(most: int | None) -> list[None]:
    """One entry for each batch that is trained from now on; the process is killed after so many.

    Batches of a phase that keeps no checkpoints, such as a head on cached features, do not count.
    """
    from lichen.engine import fit
    from lichen.engine.training.phase import Phase

    trained: list[None] = []
    checkpoint = fit._checkpoint

    def ended(job: Any, trainee: Any) -> None:
        """Called after every batch, the last of an epoch too."""
        checkpoint(job, trainee)
        trained.extend([None] * (not isinstance(job.run, Phase)))
        if len(trained) == most:
            os.kill(os.getpid(), signal.SIGKILL)

    fit._checkpoint = ended
    return trained


def command(order: dict[str, Any], say: Callable[..., None]) -> int:
    """A command line; its exit code is the child's, what it prints is said."""
    import io

    from lichen.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(order["words"])
        except SystemExit as end:
            code = int(end.code or 0)
    say(out=out.getvalue()[-4000:], err=err.getvalue()[-4000:])
    return code


def opening(order: dict[str, Any], say: Callable[..., None]) -> int:
    """Opens the store, which brings it to today's format."""
    from lichen.core.store import Store

    Store(Path(".lichen").absolute()).close()
    return 0


def crowd(order: dict[str, Any], say: Callable[..., None]) -> int:
    """Several processes live the recipe for several seeds in one store; perhaps one more collects."""
    children = []
    for number in range(order["processes"]):
        child = os.fork()
        if child == 0:
            os._exit(_member(order, say, number))
        children.append(child)
    collector = os.fork() if order.get("collects") else 0
    if order.get("collects") and collector == 0:
        _collector(say)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    if collector:
        os.kill(collector, signal.SIGTERM)
        os.waitpid(collector, 0)
    return max(map(abs, codes))


def _member(order: dict[str, Any], say: Callable[..., None], number: int) -> int:
    from lichen.core import life, recipefile, session
    from lichen.core.override import override

    sys.path[:0] = [str(Path("units").absolute())]
    computed, problems = 0, []
    for turn in range(order["rounds"]):
        seed = 1000 * number + turn if order.get("own_seeds") else turn
        try:
            with session.opened(Path(".lichen").absolute()) as here:
                recipe = override(recipefile.read("recipe.yaml"), [f"first.seed={seed}"])
                value = life.run(recipe, here).current["model"]
                assert here.store is not None
                here.store.names.move(f"n{number}-{turn}", value)
                computed += here.counts["computed"]
        except Exception as error:  # noqa: BLE001
            problems.append(f"{number}/{turn}: {type(error).__name__}: {error}")
    say(computed=computed, problems=problems)
    return 0


def _collector(say: Callable[..., None]) -> None:
    from lichen.core.errors import UsageError
    from lichen.core.gc import collect
    from lichen.core.store import Store

    going, count = [True], 0
    signal.signal(signal.SIGTERM, lambda *_: going.clear())
    store = Store(Path(".lichen").absolute())
    problems = []
    while going:
        try:
            collect(store, is_dry=False, grace_s=0.0)
            count += 1
        except UsageError:
            pass
        except Exception as error:  # noqa: BLE001
            problems.append(f"collector: {type(error).__name__}: {error}")
            break
    say(collections=count, problems=problems)
    os._exit(0)


def _pauses(pause_s: float) -> None:
    """Widens the gap before a writer's records: who relies on luck there then fails on any machine."""
    from lichen.core.store import Store

    plain = Store._put_blobs

    def put_blobs(self: Any, value: Any) -> None:
        plain(self, value)
        time.sleep(pause_s)

    Store._put_blobs = put_blobs  # type: ignore[method-assign]


def _old_format() -> None:
    """The store is made by the first lichen."""
    from lichen.core import records

    del records.MIGRATIONS[1:]
    plain = records.SQLite.insert
    records.SQLite.insert = lambda self, table, **columns: plain(  # type: ignore[method-assign]
        self, table, **{name: value for name, value in columns.items() if name != "checksum"}
    )


def _no_lease() -> None:
    from lichen.core.store import Store

    Store.lease = lambda self, key: contextlib.nullcontext()  # type: ignore[method-assign]


def _no_blob_sync() -> None:
    from lichen.core import objects

    def write(self: Any, part: Path, data: memoryview) -> None:
        part.write_bytes(data)

    objects.Objects._write = write  # type: ignore[method-assign]


def _no_folder_sync() -> None:
    from lichen.core import disk, objects

    disk.sync_folder = objects.sync_folder = lambda folder: None


def _blobs_after_records() -> None:
    from lichen.core.store import Store

    plain = Store.write

    def write(self: Any, call: Any, inputs: Any, outputs: Any, detail: Any) -> None:
        put, self._put_blobs = self._put_blobs, lambda value: None
        plain(self, call, inputs, outputs, detail)
        self._put_blobs = put
        for value in (*inputs, *outputs):
            put(value)

    Store.write = write  # type: ignore[method-assign]


def _in_place() -> None:
    """Blobs are written under their own names."""
    from lichen.core import disk, objects

    def put(self: Any, blob: str, data: memoryview) -> int:
        target = self.path(blob)
        if self._is_fresh(blob):
            return 0
        target.parent.mkdir(exist_ok=True)
        self._write(target, data)
        disk.sync_folder(target.parent)
        return data.nbytes

    objects.Objects.put = put  # type: ignore[method-assign]


def _lax_records() -> None:
    """SQLite is told not to sync."""
    from lichen.core.records import SQLite

    plain = SQLite.__init__

    def init(self: Any, *args: Any, **named: Any) -> None:
        plain(self, *args, **named)
        self.connection.execute("PRAGMA synchronous=OFF")

    SQLite.__init__ = init  # type: ignore[method-assign]


def _no_transaction() -> None:
    """Rows are committed one by one."""
    from lichen.core.records import SQLite

    SQLite.transaction = lambda self: contextlib.nullcontext()  # type: ignore[method-assign,assignment]


def _no_momentum() -> None:
    """What the optimizer remembered is not put back."""
    from lichen.engine.training.trainee import Trainee

    plain = Trainee.restore

    def restore(self: Any, counters: Any, tensors: Any) -> None:
        plain(self, counters, tensors)
        self.optimizer.state.clear()

    Trainee.restore = restore  # type: ignore[method-assign]


def _no_checkpoint() -> None:
    """What a killed run kept is not found."""
    from lichen.core.context import Context

    Context.restore = lambda self: None  # type: ignore[method-assign]


def _leaves_parts() -> None:
    """A part that could not be written whole stays."""
    from pathlib import Path as Place

    plain = Place.unlink
    Place.unlink = lambda self, missing_ok=False: (  # type: ignore[method-assign]
        None if self.parent.name == "tmp" else plain(self, missing_ok)
    )


DEFECTS: dict[str, Callable[[], None]] = {
    "no_blob_sync": _no_blob_sync, "no_folder_sync": _no_folder_sync, "in_place": _in_place,
    "blobs_after_records": _blobs_after_records, "lax_records": _lax_records,
    "no_transaction": _no_transaction, "leaves_parts": _leaves_parts, "no_lease": _no_lease,
    "old_format": _old_format, "no_momentum": _no_momentum, "no_checkpoint": _no_checkpoint,
}  # fmt: skip
WORK: dict[str, Callable[..., int]] = {"live": live, "command": command, "crowd": crowd, "opening": opening}

if __name__ == "__main__":
    serve()
