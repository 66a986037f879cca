"""inception: features by the net and the weights that published FID are of, where these weights lie at hand.

Paper: Heusel et al. 2017. Pictures are enlarged to 299 pixels as pytorch-fid does: bilinear, not smoothed.
Nothing is downloaded.

Shapes: N rows, C channels, H height, W width, F features.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from lichen.core.digest import digest_file
from lichen.core.errors import DataError, NotFoundError
from lichen.engine.modules import architecture, pretrained
from lichen.engine.training import memory

SIDE = 299
BATCH_SIZE = 50
NUM_OUTPUTS = 1008
FILES = ("pt_inception-2015-12-05-6726825d.pth", "weights-inception-2015-12-05-6726825d.pth")
"""What pytorch-fid and torch-fidelity call the one file."""
DIGEST = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


def find() -> Path | None:
    """The file of weights in torch's cache or in $LICHEN_DATA/pretrained, if one lies there."""
    folders = [Path(torch.hub.get_dir()) / "checkpoints"]
    if os.environ.get("LICHEN_DATA"):
        folders.append(Path(os.environ["LICHEN_DATA"]) / "pretrained")
    return next((path for folder in folders for name in FILES if (path := folder / name).is_file()), None)


def require() -> Path:
    """
    Raises:
        NotFoundError: the weights are nowhere.
    """
    path = find()
    if path is None:
        where = Path(torch.hub.get_dir()) / "checkpoints" / FILES[0]
        raise NotFoundError("the weights of Inception are not on this machine", hint=f"put them at {where}")
    return path


def net(path: Path) -> nn.Module:
    """
    Raises:
        DataError: the file holds other bytes than the weights that FID is defined by.
    """
    found = digest_file(path)
    if found != DIGEST:
        raise DataError(f"these are not the weights that FID is defined by: their SHA-256 is {found[:10]}, "
                        f"not {DIGEST[:10]}", where=str(path))  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        module = architecture.build("inception", {}, (3, SIDE, SIDE), NUM_OUTPUTS)
    module.load_state_dict(pretrained.matched(pretrained.read(path).tensors, module), strict=False)
    return module.eval()


def features(module: nn.Module, pixels_NCHW: np.ndarray, *, device: str = "cpu") -> np.ndarray:
    """float32 (N, 2048) of uint8 pictures; grey ones are three equal channels."""
    module, parts = module.to(device), []
    with memory.kept(), torch.inference_mode():
        for start in range(0, len(pixels_NCHW), BATCH_SIZE):
            x_NCHW = torch.from_numpy(np.array(pixels_NCHW[start : start + BATCH_SIZE])).to(device)
            x_NCHW = functional.interpolate(x_NCHW.float() / 255, size=(SIDE, SIDE), mode="bilinear")
            found: torch.Tensor = module.features(2 * x_NCHW.expand(-1, 3, -1, -1) - 1)  # type: ignore[operator]
            parts.append(found.float().cpu())
    return torch.cat(parts).numpy()
