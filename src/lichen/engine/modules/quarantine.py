"""quarantine: the one place where a pickle is opened: a child process without store or working folder.

`python -m lichen.engine.modules.quarantine SOURCE TARGET` writes the tensors of SOURCE as safetensors.
torch's reader is restricted to tensors; what would break out of it finds an empty folder, little time and
no environment.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from torch import Tensor

from lichen.core.errors import UnsafeInputError

TIME_S = 120
PASSED_ON = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
"""What the child sees of the environment: neither the store nor anyone's credentials."""
ORDER = "order"
"""The note under which the names stand in the order of the pickle; safetensors sorts them."""


def tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint in torch's own format, converted by a child.

    Raises:
        UnsafeInputError: it holds anything but tensors by name.
    """
    from safetensors import safe_open

    with tempfile.TemporaryDirectory(prefix="quarantine-") as folder:
        target = Path(folder, "converted.safetensors")
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", __name__, str(path.absolute()), str(target)],
                cwd=folder, env={**environment, "HOME": folder, "TMPDIR": folder}, timeout=TIME_S,
                check=False,
                stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise UnsafeInputError(f"the checkpoint was not read in {TIME_S} s", where=str(path)) from None
        if done.returncode or not target.is_file():
            said = done.stderr.strip().rpartition("\n")[2][:200]
            raise UnsafeInputError(
                f"the checkpoint must hold tensors by name and nothing else: {said}", where=str(path)
            )
        with safe_open(target, "pt") as file:
            names = json.loads(file.metadata()[ORDER])
            return {name: file.get_tensor(name).clone() for name in names}


def main(source: str, target: str) -> None:
    """The child's work."""
    import torch
    from safetensors.torch import save_file

    large = 4 * os.stat(source).st_size + (1 << 20)
    resource.setrlimit(resource.RLIMIT_FSIZE, (large, large))
    resource.setrlimit(resource.RLIMIT_CPU, (TIME_S, TIME_S))
    found = torch.load(source, map_location="cpu", weights_only=True)
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in found.items()
    ):
        raise SystemExit("it is no mapping from names to tensors")
    own = {name: tensor.detach().clone().contiguous() for name, tensor in found.items()}
    save_file(own, target, metadata={ORDER: json.dumps(list(own))})


if __name__ == "__main__":
    main(*sys.argv[1:])
