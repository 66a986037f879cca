"""program: a frozen executable (ONNX, OpenVINO IR, ...) with the assets it needs to answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lichen.core import find
from lichen.core.errors import UnsafeInputError
from lichen.core.form import FILE
from lichen.core.value import Memory, Value, size_text


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Program(Value):
    """What is shipped: files in one format, the runtime that was measured fastest, and the task's assets."""

    kind: ClassVar[str] = "program"

    @classmethod
    def build(
        cls,
        *,
        format: str,
        files: Mapping[str, bytes],
        runtime: str,
        precision: str,
        task: str,
        task_options: Mapping[str, Any] | None = None,
        assets: Mapping[str, Any] | None = None,
        num_params: int,
        source: str | None = None,
    ) -> Program:
        """A Program from the bytes of its files.

        Args:
            format: `onnx`, `openvino`, `executorch` or `torch`.
            files: name -> bytes (`model.onnx`, `model.xml` and `model.bin`, `model.pte`, or `model.pt2`).
            runtime: what runs it: `onnxruntime`, `openvino`, `executorch` or `torch`.
            precision: of its arithmetic: `float32`, `bfloat16`, `int8`.
            source: digest of the Model that it was made from.
        """
        memory = Memory()
        manifest = {
            "kind": "program",
            "format": format,
            "files": {
                name: {"blob": memory.put(data), "size": len(data)} for name, data in sorted(files.items())
            },
            "runtime": runtime,
            "precision": precision,
            "task": {"name": task, "options": dict(task_options or {})},
            "assets": dict(assets or {}),
            "num_params": num_params,
            "source": source,
        }
        return cls(manifest=manifest, blobs=memory)

    @property
    def format(self) -> str:
        return self.manifest["format"]

    @property
    def runtime(self) -> str:
        return self.manifest["runtime"]

    @property
    def precision(self) -> str:
        return self.manifest["precision"]

    @property
    def task(self) -> str:
        return self.manifest["task"]["name"]

    @property
    def task_options(self) -> Mapping[str, Any]:
        return self.manifest["task"]["options"]

    @property
    def assets(self) -> Mapping[str, Any]:
        return self.manifest["assets"]

    @property
    def num_params(self) -> int:
        return self.manifest["num_params"]

    @property
    def size_bytes(self) -> int:
        return sum(entry["size"] for entry in self.manifest["files"].values())

    def files(self) -> dict[str, memoryview]:
        return {name: self.blobs.get(entry["blob"]) for name, entry in self.manifest["files"].items()}

    def write(self, folder: str | Path) -> list[Path]:
        """Writes the executable's own files into a folder, for any runtime to open."""
        for name in self.manifest["files"]:
            if not FILE.fullmatch(name):
                raise UnsafeInputError(f"a Program's file must have a plain name, not {ascii(name)[:120]}")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for name, data in self.files().items():
            (folder / name).write_bytes(data)
            paths.append(folder / name)
        return paths

    def predict(self, inputs: Any) -> list[dict[str, Any]]:
        """Answers as a person reads them, through the one path that `evaluate` and `serve` use."""
        return find.load("lichen.engine.answer:predict")(self, inputs)

    def generate(
        self, prompts: Any, *, max_new_tokens: int = 100, temperature: float = 0.8, top_k: int | None = None,
        top_p: float | None = None, min_p: float | None = None, seed: int = 0, is_plain: bool = False,
    ) -> list[str]:  # fmt: skip
        """What the program of a language model says after each prompt, as `Model.generate` says it."""
        said = find.load("lichen.engine.decode:generate")
        return said(self, prompts, max_new_tokens=max_new_tokens, temperature=temperature, top_k=top_k,
                    top_p=top_p, min_p=min_p, seed=seed, is_plain=is_plain)  # fmt: skip

    def facts(self) -> dict[str, str]:
        return {
            "format": self.format, "runtime": self.runtime, "precision": self.precision,
            "size": size_text(self.size_bytes), "task": self.task,
        }  # fmt: skip
