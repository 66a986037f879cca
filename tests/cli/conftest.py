"""conftest: the command line in this process, and one small life that the tests of every verb read."""

import json
import os
import shutil
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image

from lichen.cli.main import main

RECIPE = """lichen: 1
name: small
data: {source: digits, num_train: 300}
steps:
  - augment.policy: {ops: [shift]}
  - pretrain.train: {net: mlp, net_options: {width: 32}, epochs: 3, precision: float32}
"""


@dataclass
class Said:
    code: int
    out: str
    err: str

    @property
    def data(self):
        return json.loads(self.out)


@pytest.fixture
def lichen(capsys, monkeypatch):
    """Runs one command line: `lichen("show", "small")`."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(*argv):
        capsys.readouterr()
        code = main([str(word) for word in argv])
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Said(code, said.out, said.err)

    return run


@pytest.fixture(scope="session")
def lived(tmp_path_factory):
    """A folder with `small.yaml` and the store of its life; to be copied, never written."""
    folder = tmp_path_factory.mktemp("lived")
    (folder / "small.yaml").write_text(RECIPE)
    was = os.getcwd()
    os.chdir(folder)
    try:
        assert main(["run", "small.yaml"]) == 0
    finally:
        os.chdir(was)
    return folder


@pytest.fixture
def home(lived, tmp_path, monkeypatch):
    """A copy of the small life to work in."""
    folder = tmp_path / "home"
    shutil.copytree(lived, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def photos(tmp_path):
    """Twelve pictures in each of two folders, cat and dog."""
    draws = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(12):
            pixels = draws.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.png")
    return tmp_path / "photos"
