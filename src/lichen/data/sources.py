"""sources: where the data of a name lies: the working folder, `$LICHEN_DATA`, built in, then the hub."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import util
from pathlib import Path

from lichen.core.errors import MachineError, NotFoundError, missing_package, nearest
from lichen.data import index, pretrained
from lichen.data.files import reading

BUILT_IN = ("digits",)
HUB = "hf:"
TIMM = "timm:"
MODEL = "hf/"
"""Before a folder of a model as transformers saves it, or its name on the hub."""
MODEL_FILES = ["*.json", "*.safetensors", "*.jinja"]
GGUF = ".gguf"
"""A file of this kind is a whole model, and may be named below its repository."""
HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?(@[\w.-]+(/[\w.-]+)*)?", re.ASCII)
TIMM_NAME = re.compile(r"\w[\w-]*(\.\w[\w-]*)?", re.ASCII)
LONGEST = 4096

_index_of: dict[Path, Path] = {}
"""Which index vouched for a place in this process, so that `load` reads no file a second time."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a source lies: `kind` is `folder`, `shared` (under $LICHEN_DATA), `built-in`, `package`
    or `hub`."""

    path: Path
    kind: str
    name: str


def resolve(name: str, *, folder: Path | None = None, refresh: bool = False) -> Place:
    """Finds the data that a name means.

    Args:
        folder: where relative names start; None is the working folder.
        refresh: ask the hub for its newest revision also when one is here.

    Raises:
        NotFoundError: nothing has that name; hints at the nearest.
        MachineError: it may not be read, or a package for it is missing.
    """
    if not name.strip():
        raise NotFoundError("a data source must have a name; this one is empty")
    if "\0" in name or len(name) > LONGEST:
        raise NotFoundError(
            f"no data can have the name {name[:80]!a}", hint="a folder, a file or a name of the hub"
        )
    for prefix, form in ((HUB, HUB_NAME), (TIMM, TIMM_NAME)):
        if name.startswith(prefix) and (".." in name or not form.fullmatch(name.removeprefix(prefix))):
            raise NotFoundError(
                f"{name!a} is no name of the hub", hint="hf:org/name, hf:org/name@revision, timm:net"
            )
    if name.startswith(HUB):
        return Place(_hub(name.removeprefix(HUB), refresh=refresh), "hub", name)
    if name.startswith(TIMM):
        return Place(pretrained.resolve(name.removeprefix(TIMM)), "hub", name)
    here = folder or Path.cwd()
    shared = os.environ.get("LICHEN_DATA")
    if name.startswith(MODEL) and not _existing(here, name):
        return _model(name.removeprefix(MODEL), here, shared, refresh=refresh)
    for kind, base in (("folder", here), ("shared", Path(shared) if shared else None)):
        if kind == "shared" and _climbs(name):
            continue
        if base and (path := _existing(base, name)):
            return Place(path, kind, name)
    if name in BUILT_IN:
        return Place(_digits(), "built-in", name)
    raise NotFoundError(f"no data named `{name}`", hint=_hint(name, here, Path(shared) if shared else None))


def _model(name: str, here: Path, shared: str | None, *, refresh: bool) -> Place:
    """The folder of a model: here, below the shared data, or of the hub."""
    for kind, base in (("folder", here), ("shared", Path(shared) if shared else None)):
        if base and not (kind == "shared" and _climbs(name)) and (path := _existing(base, name)):
            return Place(path, kind, MODEL + name)
    if name in pretrained.MODELS:
        return Place(pretrained.packaged_model(name), "package", MODEL + name)
    repo, _, file = name.rpartition("/") if name.lower().endswith(GGUF) else (name, "", "")
    if ".." in name or not HUB_NAME.fullmatch(repo):
        raise NotFoundError(
            f"no model lies at `{name}`", hint="hf/FOLDER, hf/FILE.gguf, or hf/org/name of the hub"
        )
    if file:
        return Place(_hub(repo, refresh=refresh, kind="model", patterns=[file]) / file, "hub", MODEL + name)
    return Place(_hub(name, refresh=refresh, kind="model", patterns=MODEL_FILES), "hub", MODEL + name)


def _climbs(name: str) -> bool:
    """Whether a name leaves the folder it is looked up in; only the working folder's may."""
    return os.path.isabs(name) or name.startswith("~") or os.path.normpath(name).split(os.sep)[0] == ".."


def fingerprint(name: str, index_path: Path | None = None, *, verify: bool = False) -> tuple[str, Path]:
    """The content digest of a source, which keys the call that loads it, and its absolute path."""
    place = resolve(name)
    if index_path is not None:
        _index_of[place.path] = index_path
    return index.tree(place.path, index_path, verify=verify).digest, place.path


def files(place: Place) -> dict[str, str]:
    """SHA-256 of every file of a place by its relative name."""
    return {file.name: file.sha256 for file in index.listing(place.path, _index_of.get(place.path))}


def _existing(base: Path, name: str) -> Path | None:
    with reading(base / name):
        try:
            path = (base / Path(name).expanduser()).absolute()
            path.stat()
        except (
            FileNotFoundError,
            NotADirectoryError,
            RuntimeError,
            UnicodeEncodeError,
        ):  # nobody's ~, half a letter
            return None
        if path.is_dir():
            os.scandir(path).close()
        return path.resolve()


def _hint(name: str, here: Path, shared: Path | None) -> str:
    names = [*BUILT_IN]
    for base in (here, shared):
        if base and base.is_dir():
            names += [entry.name for entry in os.scandir(base) if not entry.name.startswith(".")]
    if hint := nearest(name, names):
        return hint
    looked = f"{here} and $LICHEN_DATA" if shared else f"{here}; set LICHEN_DATA to search another folder"
    return f"looked in {looked}; a hub name starts with `hf:`"


def _digits() -> Path:
    """The file inside scikit-learn, found without importing it."""
    found = util.find_spec("sklearn")
    if found is None or found.origin is None:
        raise missing_package("scikit-learn", "vision")
    return Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"


def _hub(name: str, *, refresh: bool, kind: str = "dataset", patterns: list[str] | None = None) -> Path:
    """The snapshot of a repository; one that is here is used without a network."""
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError:
        raise missing_package("huggingface-hub", "hub") from None
    repo, _, revision = name.partition("@")
    download: Callable[..., str] = partial(
        huggingface_hub.snapshot_download, repo, repo_type=kind, revision=revision or None,
        allow_patterns=patterns,
    )  # fmt: skip
    said = f"{HUB if kind == 'dataset' else MODEL}{name}"
    try:
        return Path(download(local_files_only=not refresh))
    except (errors.LocalEntryNotFoundError, errors.HFValidationError):
        pass
    try:
        return Path(download())
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        raise NotFoundError(
            f"`{said}` is not here and the hub cannot be reached", hint="is there a network?"
        ) from None
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError):
        prefix = said.removesuffix(name)
        raise NotFoundError(
            f"the hub has no {kind} `{name}`",
            hint=f"names are `{prefix}org/name` or `{prefix}org/name@revision`",
        ) from None
    except OSError as error:
        raise MachineError(f"`{said}` could not be fetched: {error}") from None
