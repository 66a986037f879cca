"""source: what a file of Python would run or unpickle, read from its syntax."""

from __future__ import annotations

import ast
from collections.abc import Iterator

MODULES = {
    "pickle",
    "_pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "marshal",
    "shelve",
    "code",
    "torch.hub",
}
CALLS = {
    "eval",
    "exec",
    "builtins.eval",
    "builtins.exec",
    "os.system",
    "os.popen",
    "torch.load",
    "torch.hub.load",
    "yaml.load",
    "yaml.load_all",
    "yaml.unsafe_load",
    "yaml.unsafe_load_all",
    "yaml.full_load",
    "yaml.full_load_all",
    "yaml.Loader",
    "yaml.UnsafeLoader",
    "yaml.FullLoader",
    "yaml.CLoader",
    "shutil.unpack_archive",
    "pandas.read_pickle",
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "runpy.run_path",
    "torch.jit.load",
    "torch.package",
}
METHODS = {"extractall", "unpack_archive", "read_pickle"}
IMPORTERS = {"import_module", "__import__", "load"}


def dangers(text: str) -> Iterator[tuple[str, int]]:
    """(what, line) of what runs text, opens a pickle, or unpacks where an archive says."""
    tree = ast.parse(text)
    names = dict(_imported(tree))
    for node in ast.walk(tree):
        for what in _of(node, names):
            yield what, node.lineno


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (
                    alias.asname or alias.name.partition(".")[0],
                    alias.name if alias.asname else alias.name.partition(".")[0],
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _dotted(node: ast.AST, names: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    if _is_getattr(node):
        return f"{_dotted(node.args[0], names)}.{node.args[1].value}"
    return "?"


def _is_getattr(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "getattr"
        and len(node.args) > 1
        and isinstance(node.args[1], ast.Constant)
    )


def _of(node: ast.AST, names: dict[str, str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in MODULES)
    elif isinstance(node, ast.ImportFrom):
        yield from [node.module] if node.module in MODULES else []
        full = (f"{node.module}.{alias.name}" for alias in node.names)
        yield from (name for name in full if name in CALLS | MODULES)
    elif isinstance(node, ast.Name | ast.Attribute) or _is_getattr(node):
        said = _dotted(node, names)
        if said in CALLS or said.rpartition(".")[2] in METHODS:
            yield said
    if isinstance(node, ast.Call):
        yield from _of_call(node, names)


def _of_call(node: ast.Call, names: dict[str, str]) -> Iterator[str]:
    said = _dotted(node.func, names)
    for keyword in node.keywords:
        is_off = isinstance(keyword.value, ast.Constant) and not keyword.value.value
        if keyword.arg in ("shell", "allow_pickle") and not is_off:
            yield f"{said}({keyword.arg}=)"
    first = node.args[0] if node.args else None
    if said.rpartition(".")[2] in IMPORTERS and isinstance(first, ast.Constant) and first.value in MODULES:
        yield f"{said}({first.value})"
