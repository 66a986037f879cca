"""Nothing that comes from outside crashes lichen, holds it up, runs in it or writes beside it.

A case of the fuzzer is a kind and a number: `hostile.changed(kinds.kinds(folder)[kind], number)`.
"""

from __future__ import annotations

import gzip
import io
import itertools
import json
import os
import pickle
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import toy
import yaml
from fire import harness, hostile, kinds, source

import lichen as li
from lichen.cli.main import main
from lichen.core import flow, names, recipefile, valuefile
from lichen.core.digest import digest_bytes
from lichen.core.errors import (
    DataError,
    LichenError,
    NotFoundError,
    RecipeError,
    UnsafeInputError,
    UsageError,
)
from lichen.core.lineage import Call, Made, Ref
from lichen.core.model import Model
from lichen.core.override import override
from lichen.core.program import Program
from lichen.core.session import opened
from lichen.data import manifest, pictures, sources
from lichen.engine.modules import pretrained, quarantine
from lichen.engine.programs import onnxfile, runtimes

SRC = Path(__file__).resolve().parents[2] / "src" / "lichen"
SMALL = {
    "recipe": 200,
    "override": 150,
    "table of pixels": 80,
    "table of paths": 80,
    "idx": 80,
    "idx.gz": 60,
    "image": 300,
    "parquet": 120,
    "arrow": 100,
    "lines of JSON": 150,
    "table of texts": 80,
    "table with tabs": 60,
    "text file": 80,
    "parquet of texts": 80,
    "arrow of texts": 80,
    "safetensors": 100,
    "onnx": 100,
    "onnx in openvino": 20,
    "openvino": 20,
    "torch archive": 80,
    "value file": 140,
}
LARGE = {
    "recipe": 3000,
    "override": 3000,
    "table of pixels": 1200,
    "table of paths": 1200,
    "idx": 1000,
    "idx.gz": 800,
    "image": 6000,
    "parquet": 1800,
    "arrow": 1200,
    "lines of JSON": 2000,
    "table of texts": 1200,
    "table with tabs": 800,
    "text file": 1000,
    "parquet of texts": 1200,
    "arrow of texts": 1200,
    "safetensors": 1800,
    "onnx": 1500,
    "onnx in openvino": 300,
    "openvino": 300,
    "torch archive": 800,
    "value file": 2000,
}
LARGE_S = 420
SECRET = b"the secret that lies outside"


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    """A folder and the process that reads changed inputs in it."""
    folder = tmp_path_factory.mktemp("fuzzed")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, str(Path(hostile.__file__).with_name("fuzzer.py")), str(folder)]
    process = subprocess.Popen(
        words, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    yield folder, process
    process.communicate(timeout=30)


def outside(folder: Path) -> set[str]:
    """Everything in the fuzzer's folder beside the room that cases may write to."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {name for name in found if not name.startswith(("house/room/", "store"))}


def fuzz(fuzzed, name: str, numbers: range, until: float | None = None) -> hostile.Found:
    folder, process = fuzzed
    before = outside(folder)
    process.stdin.write(json.dumps([name, numbers.start, numbers.stop, until]) + "\n")
    process.stdin.flush()
    found = hostile.Found(**json.loads(process.stdout.readline()))
    assert not found.wrong, "\n".join(found.wrong[:20])
    assert outside(folder) == before
    assert found.slowest_s < hostile.HANG_S
    return found


@pytest.mark.parametrize("name", SMALL)
def test_a_changed_input_is_read_or_refused_with_a_clear_error(fuzzed, name):
    found = fuzz(fuzzed, name, range(SMALL[name]))
    assert found.num_cases == SMALL[name] and found.num_refused > found.num_cases / 4


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_many_changed_inputs_are_read_or_refused_with_a_clear_error(fuzzed, name):
    share = LARGE_S * LARGE[name] / sum(LARGE.values()) + 30
    start, number = 1_000_000, LARGE[name] // (1 if harness.IS_FULL else 3)
    found = fuzz(fuzzed, name, range(start, start + number), until=time.monotonic() + 4 * share)
    print(
        f"{name}: {found.num_cases} cases, {found.num_refused} refused, the slowest {found.slowest_s:.2f} s"
    )
    assert found.num_cases == number


def test_what_is_not_changed_is_read(tmp_path):
    for kind in kinds.kinds(tmp_path).values():
        for data in kind.corpus:
            if kind.name != "override":  # some of those are refused as they are
                kind.read(data)


def planted(what: str):
    """A kind whose reader has a defect that some of its cases meet."""

    def read(data: bytes) -> None:
        if sum(data) % 4 == 0:
            if what == "a crash":
                raise KeyError("odd")
            if what == "a death":
                os.abort()
            if what == "a silence":
                raise DataError(" ")
            if what == "another's name":
                raise DataError("no", where="other.file")
            if what == "a bomb":
                bytearray(1 << 40)
            if what == "a hang":
                time.sleep(60)
        raise DataError("no", where="my.file")

    return hostile.Kind("planted", [b"abcdefgh"], hostile.bytes_changed, read, "my.file")


@pytest.mark.parametrize("what", ["a crash", "a death", "a silence", "another's name", "a bomb", "a hang"])
def test_the_fuzzer_catches(what, monkeypatch):
    monkeypatch.setattr(hostile, "HANG_S", 0.1)
    kind = planted(what)
    wrong = {n for n in range(30) if sum(hostile.changed(kind, n)) % 4 == 0}
    found = hostile.run(kind, range(30))
    assert {int(line.split(":")[0].split()[1]) for line in found.wrong} == wrong and found.num_cases == 30


def test_the_fuzzer_catches_native_code_that_hears_no_alarm(monkeypatch):
    monkeypatch.setattr(hostile, "DEAF_S", 0.3)

    def deaf(data: bytes) -> None:
        import signal

        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(60)

    found = hostile.run(hostile.Kind("deaf", [b"x"], hostile.bytes_changed, deaf), range(2))
    assert len(found.wrong) == 2 and "hangs" in found.wrong[0]


# Pickles.


class Payload:
    """What an attacker pickles: opened, it makes a file."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self):
        return os.system, (f"touch {self.place}",)


def pickles(place: Path) -> dict[str, bytes]:
    import torch

    boxed = io.BytesIO()
    torch.save({"w": Payload(place)}, boxed)
    plain = {f"protocol {n}": pickle.dumps(Payload(place), protocol=n) for n in range(6)}
    return {**plain, "torch's zip": boxed.getvalue()}


@pytest.mark.parametrize(
    "name", ["w.safetensors", "w.pt", "w.PTH", "w.bin", "w.ckpt", "w.pkl", "w", "w.onnx.pt"]
)
def test_a_pickle_is_never_opened_whatever_its_name(tmp_path, name):
    made = tmp_path / "made"
    for data in pickles(made).values():
        (tmp_path / name).write_bytes(data)
        with pytest.raises((UnsafeInputError, DataError), match="weights must be"):
            pretrained.read(tmp_path / name)
    assert not made.exists()


def test_a_pickle_in_place_of_weights_ends_a_life_with_4(tmp_path, capsys):
    (tmp_path / "w.safetensors").write_bytes(pickles(tmp_path / "made")["torch's zip"])
    (tmp_path / "r.yaml").write_text(
        "lichen: 1\ndata: digits\nsteps:\n  - pretrain.load: {net: mlp, weights: w.safetensors}\n"
    )
    assert main(["run", "r.yaml"]) == 4
    assert "this is a pickle" in capsys.readouterr().err and not (tmp_path / "made").exists()


def test_a_hostile_pickle_in_quarantine_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("LICHEN_STORE", str(tmp_path / "store"))
    made = tmp_path / "made"
    (tmp_path / "w.pth").write_bytes(pickles(made)["torch's zip"])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UnsafeInputError, match="tensors by name"):
        quarantine.tensors(tmp_path / "w.pth")
    assert sorted(tmp_path.rglob("*")) == before
    os.system(f"touch {made}")
    assert made.exists()  # the payload would have worked


def test_quarantine_gives_tensors_back_in_their_order(tmp_path):
    import torch

    shared = torch.arange(6.0).reshape(2, 3)
    torch.save({"z": shared, "a": shared.T, "m": torch.ones(2, dtype=torch.int64)}, tmp_path / "w.pth")
    found = quarantine.tensors(tmp_path / "w.pth")
    assert list(found) == ["z", "a", "m"] and torch.equal(found["a"], shared.T)


# Value files.


def value_file(folder: Path, change=lambda entries: None, **how) -> Path:
    with zipfile.ZipFile(kinds.a_program().save(folder / "plain.lichen")) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    entries = change(entries) or entries
    (folder / "gift.lichen").write_bytes(hostile.zipped(entries, **how))
    return folder / "gift.lichen"


def with_manifest(change):
    def changed(entries):
        whole = json.loads(dict(entries)["manifest.json"])
        change(whole)
        return [
            (name, json.dumps(whole).encode() if name == "manifest.json" else held) for name, held in entries
        ]

    return changed


@pytest.mark.parametrize(
    "name",
    [
        "../escape",
        "/tmp/escape",
        "blobs/../../escape",
        "blobs/",
        "..",
        "C:\\x",
        "blobs\\x",
        "manifest.json/",
        "MANIFEST.JSON",
        "blobs/" + "0" * 64 + "\n",
        "units/code.py",
    ],
)
def test_an_entry_with_a_path_is_refused(tmp_path, name):
    path = value_file(tmp_path, lambda entries: [*entries, (name, b"x")])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UnsafeInputError, match=r"gift\.lichen"):
        li.open(path)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "change, how",
    [
        (lambda entries: None, {"mode": 0o120777}),
        (lambda entries: [*entries, entries[0]], {}),
        (lambda entries: [*entries, entries[-1]], {}),
        (lambda entries: entries[1:], {}),
        (lambda entries: None, {"how": zipfile.ZIP_DEFLATED}),
        (
            lambda entries: [*entries, ("blobs/" + digest_bytes(bytes(1 << 26)), bytes(1 << 26))],
            {"how": zipfile.ZIP_DEFLATED},
        ),
        (lambda entries: [*entries, ("blobs/" + "0" * 64, b"other")], {}),
        (
            with_manifest(
                lambda whole: whole["files"].update({"../../escape.onnx": whole["files"].pop("model.onnx")})
            ),
            {},
        ),
        (with_manifest(lambda whole: whole["files"].update({"..": whole["files"].pop("model.onnx")})), {}),
        (with_manifest(lambda whole: whole["files"]["model.onnx"].update(size=1)), {}),
        (with_manifest(lambda whole: whole["files"]["model.onnx"].update(blob="../../../etc/passwd")), {}),
        (with_manifest(lambda whole: whole["assets"].update(image_shape=[1, 10**6, 10**6])), {}),
        (with_manifest(lambda whole: whole.update(num_params=float("nan"))), {}),
        (with_manifest(lambda whole: whole.update(kind="model")), {}),
    ],
    ids=itertools.count(),
)
def test_a_value_file_that_is_not_what_it_says_is_refused(tmp_path, change, how):
    with pytest.raises(UnsafeInputError, match=r"gift\.lichen"):
        li.open(value_file(tmp_path, change, **how))


def test_a_program_does_not_write_outside_its_folder(tmp_path):
    for name in ("../escape", "/tmp/escape", "..", ".", "", "a/b", "a\0b", ".hidden"):
        gift = Program.build(
            format="onnx",
            files={name: b"x"},
            runtime="onnxruntime",
            precision="float32",
            task="x",
            num_params=0,
        )
        with pytest.raises(UnsafeInputError):
            gift.write(tmp_path / "inside")
    assert not (tmp_path / "inside").exists()


def test_sizes_that_lie_in_a_zip_are_refused(tmp_path):
    path = value_file(tmp_path)
    data = bytearray(path.read_bytes())
    where = data.rindex(b"PK\x01\x02")
    for number in (0, 1, 2**31, 2**32 - 1):
        struct.pack_into("<I", data, where + 24, number)
        path.write_bytes(data)
        with pytest.raises(UnsafeInputError):
            li.open(path)


@pytest.mark.parametrize(
    "net",
    [
        "os:system",
        "posix:system",
        "subprocess:run",
        "shutil:rmtree",
        "builtins:exec",
        "torch:load",
        "torch.hub:load",
        "torch.serialization:os.system",
        "lichen.core.find:load",
        "timm:create_model",
        "importlib:import_module",
        "pickle:loads",
        "nonsense:x",
        "torch.nn:Missing",
    ],
)
def test_a_net_that_is_no_net_is_not_called(tmp_path, net):
    made = tmp_path / "made"
    for options in (
        {"command": f"touch {made}"},
        {"args": ["touch", str(made)]},
        {"repo_or_dir": str(tmp_path), "model": "x"},
        {},
    ):
        gift = Model.build(net=net, options=options, weights={}, task="image_classification")
        with pytest.raises((UnsafeInputError, NotFoundError)):
            li.open(gift.save(tmp_path / "gift.lichen")).torch()
    assert not made.exists()


@pytest.mark.parametrize(
    "task", ["os:path", "os:system", "torch:load", "json:decoder", "image_classificatio"]
)
def test_a_task_that_is_no_task_is_not_asked(task):
    from lichen.engine.task import task_of

    with pytest.raises((UnsafeInputError, UsageError, NotFoundError)):
        task_of(task)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", "a\0b"])
def test_a_dataset_names_no_rows_outside_its_folder(tmp_path, name):
    data = kinds.a_dataset()
    head, columns = bytes(data.blobs.get(data.splits["train"]["index"]["blob"])).split(b"\n", 1)
    head = json.dumps({**json.loads(head), "files": [name]}).encode()
    with pytest.raises(UnsafeInputError, match="must lie in its folder"):
        manifest._checked(manifest._unpack(memoryview(head + b"\n" + columns), None), "train")


def test_a_lineage_longer_than_pythons_stack_is_written_and_opened(tmp_path):
    value, call = toy.a_model(1.0), None
    for number in range(3000):
        inputs = {"model": Ref(value.digest, "model", Made(call))} if call else {}
        call = Call(
            step="toy:tune",
            key=str(number),
            code="",
            options={},
            inputs=inputs,
            outputs={"": value.digest},
            kinds={"": "model"},
        )
        assert call.id
    found = li.open(value.with_made(Made(call)).save(tmp_path / "long.lichen"))
    assert len(found.made.call.history()) == 3000


# Graphs.


def pointing(place: str, where: str) -> bytes:
    """A graph whose weights lie in another file, in an initializer, an attribute or a branch of an `If`."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    held = numpy_helper.from_array(np.zeros((8, 3), "float32"), "w")
    held.ClearField("raw_data")
    held.data_location = TensorProto.EXTERNAL
    held.external_data.add(key="location", value=place)
    held.external_data.add(key="length", value="96")
    model = onnx.ModelProto.FromString(kinds.graphs()[0])
    if where == "initializer":
        del model.graph.initializer[:]
        model.graph.initializer.append(held)
    else:
        node = helper.make_node("Constant", [], ["w2"], value=held)
        branch = helper.make_graph(
            [node], "branch", [], [helper.make_tensor_value_info("w2", TensorProto.FLOAT, [8, 3])]
        )
        inner = helper.make_node("If", ["pixels"], ["r"], then_branch=branch, else_branch=branch)
        model.graph.node.append(node if where == "attribute" else inner)
    return model.SerializeToString()


@pytest.mark.parametrize("where", ["initializer", "attribute", "branch"])
@pytest.mark.parametrize(
    "place", ["../../secret", "/etc/passwd", "secret", "./secret", "file:///etc/passwd", ""]
)
def test_a_graph_that_points_outside_is_not_followed(tmp_path, monkeypatch, place, where):
    (tmp_path / "in" / "side").mkdir(parents=True)
    for spot in (tmp_path / "secret", tmp_path / "in/side/secret"):
        spot.write_bytes(bytes(96))
    monkeypatch.chdir(tmp_path / "in" / "side")
    data = pointing(place, where)
    for runtime in ("onnxruntime", "openvino"):
        with pytest.raises(UnsafeInputError, match="must hold its weights"):
            runtimes.load(runtime, {"model.onnx": memoryview(data)})
    from lichen.engine.programs import graph

    with pytest.raises(UnsafeInputError):
        graph.openvino_of(data)


def test_a_graph_without_pointers_is_taken_though_it_says_location():
    import onnx

    model = onnx.ModelProto.FromString(kinds.graphs()[0])
    model.graph.node[0].name = "location"
    onnxfile.require_whole({"model.onnx": model.SerializeToString()})


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\0\0ORTM" + bytes(64), b"<net name='x' version='11'/>", b"PK\x03\x04", b"\x80\x04."]
)
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_what_is_no_graph_is_refused(data, runtime):
    with pytest.raises(UsageError):
        runtimes.load(runtime, {"model.onnx": memoryview(data)})


# Archives of torch.export and programs of ExecuTorch.


@pytest.fixture(scope="module")
def archive():
    """The entries of a good archive."""
    with zipfile.ZipFile(io.BytesIO(kinds.archives()[0])) as opened_archive:
        return {name: opened_archive.read(name) for name in opened_archive.namelist()}


def in_json(entry, change):
    """A change of what an archive says in one of its entries of JSON."""

    def changed(entries, place):
        whole = json.loads(entries[entry])
        change(whole, place)
        entries[entry] = json.dumps(whole).encode()

    return changed


def first_node(whole):
    return whole["graph_module"]["graph"]["nodes"][0]


def called(target):
    def change(whole, place):
        text = {"as_string": f"touch {place}"}
        first_node(whole).update(target=target, inputs=[{"name": "x", "arg": text, "kind": 1}])

    return in_json("archive/models/model.json", change)


def with_size(text):
    def change(whole, place):
        said = text.format(place=place)
        values = whole["graph_module"]["graph"]["tensor_values"]["pixels"]
        values["sizes"][0] = {"as_expr": {"expr_str": said, "hint": {"as_int": 2}}}

    return in_json("archive/models/model.json", change)


def pickled(whole, place):
    next(iter(whole["config"].values()))["use_pickle"] = True


WEIGHTS = "archive/data/weights/model_weights_config.json"
CONSTANTS = "archive/data/constants/model_constants_config.json"
CRAFTED = {
    "weights": in_json(WEIGHTS, pickled),
    "constants": in_json(CONSTANTS, pickled),
    "an object": in_json(CONSTANTS, lambda whole, place: next(iter(whole["config"].values())).update(
        path_name="opaque_obj_0")),
    "sample inputs": lambda entries, place: entries.update(
        {"archive/data/sample_inputs/model.pt": pickles(place)["torch's zip"]}),
    "old weights": lambda entries, place: entries.update(
        {"archive/data/weights/model.pt": pickles(place)["torch's zip"]}),
    "a library": lambda entries, place: entries.update({"archive/data/aotinductor/model/x.so": b"\x7fELF"}),
    "a second model": lambda entries, place: entries.update({"archive/models/other.json": b"{}"}),
    "a shell": called("torch.os.system"),
    "a module": called("torch.hub.load"),
    "a file": called("torch.ops.aten.from_file.default"),
    "memory": called("torch.ops.aten._cudnn_init_dropout_state.default"),
    "an attribute": called("torch.ops.aten.__class__"),
    "a size that runs": with_size("__import__('os').system('touch {place}')"),
    "a size that stops": with_size("breakpoint()"),
    "a size without end": with_size("9**9**9**9"),
    "guards": in_json("archive/models/model.json", lambda whole, place: whole.update(
        guards_code=[f"__import__('os').system('touch {place}')"])),
    "a name": in_json("archive/models/model.json", lambda whole, place: first_node(whole).update(
        name=f"x=__import__('os').system('touch {place}')")),
}  # fmt: skip


@pytest.mark.parametrize("name", CRAFTED)
def test_an_archive_with_code_in_it_is_refused_before_torch_reads_it(tmp_path, archive, name):
    entries = dict(archive)
    CRAFTED[name](entries, tmp_path / "made")
    assert entries != archive
    data = hostile.zipped(list(entries.items()))
    with pytest.raises(UnsafeInputError, match="must hold tensors and operators alone"):
        runtimes.load("torch", {"model.pt2": memoryview(data)})
    assert not (tmp_path / "made").exists()


def test_torchs_own_reader_runs_what_an_archive_says(tmp_path, archive):
    import torch

    entries = dict(archive)
    CRAFTED["sample inputs"](entries, tmp_path / "made")
    with suppress(Exception):
        torch.export.load(io.BytesIO(hostile.zipped(list(entries.items()))))
    assert (tmp_path / "made").exists()


@pytest.mark.slow
@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\0\0\0\0ET12", b"\0\0\0\0ET99" + bytes(99)])
def test_what_is_no_program_of_executorch_is_refused(data):
    pytest.importorskip("executorch")
    with pytest.raises(UsageError, match="executorch cannot run this program|the program"):
        runtimes.load("executorch", {"model.pte": memoryview(data)})


def test_a_program_that_takes_its_process_down_takes_down_a_child(tmp_path, monkeypatch):
    pytest.importorskip("executorch")
    crashing = tmp_path / "python"
    crashing.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crashing))
    with pytest.raises(UsageError, match="damaged: executorch stopped with signal 11"):
        runtimes.load("executorch", {"model.pte": memoryview(b"\0\0\0\0ET12" + bytes(40))})


@pytest.mark.slow
def test_changed_programs_of_executorch_are_run_or_refused():
    pytest.importorskip("executorch")
    from lichen.engine.programs import graph

    kind = hostile.Kind("executorch", [graph.executorch_of(kinds.a_model())], hostile.bytes_changed, print)
    refused = 0
    for number in range(12):
        data = memoryview(hostile.changed(kind, number))
        try:
            runtimes.load("executorch", {"model.pte": data})(np.zeros((2, 1, 4, 4), np.uint8))
        except LichenError:
            refused += 1
        if not harness.IS_FULL and number > 3 and refused > 1:
            break  # each is tried in a child, which imports torch
    assert refused > (4 if harness.IS_FULL else 1)


# Pictures and tables.


def a_png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(64)))
        + chunk(b"IEND", b"")
    )


def sized(data: bytes, form: str, at: int, width: int, height: int) -> bytes:
    return data[:at] + struct.pack(form, width, height) + data[at + struct.calcsize(form) :]


BOMBS = {
    "png": lambda: a_png(60_000, 60_000),
    "png of 2^31": lambda: a_png(2**31 - 1, 2**31 - 1),
    "gif": lambda: sized(kinds.picture("GIF", "P"), "<2H", 6, 65_535, 65_535),
    "bmp": lambda: sized(kinds.picture("BMP"), "<2i", 18, 50_000, 50_000),
    "ppm": lambda: b"P6 100000 100000 255\n" + bytes(100),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_picture_that_declares_too_much_is_refused_before_it_is_decoded(name):
    began = time.perf_counter()
    for read in (pictures.probe, lambda data: pictures.decode(data, 3, 8)):
        with pytest.raises((UnsafeInputError, DataError)) as refused:
            read(BOMBS[name]())
    assert time.perf_counter() - began < 1 and (name != "png" or refused.type is UnsafeInputError)


def test_a_gzipped_table_that_unpacks_to_a_bomb_is_refused(tmp_path):
    folder = tmp_path / "bomb"
    folder.mkdir()
    (folder / "train-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, 1))
    for lengths in ((10**6, 1000, 1000), (2**20, 32, 16), (2**32 - 1, 2**32 - 1, 2**32 - 1)):
        (folder / "train-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(struct.pack(">4I", 0x803, *lengths) + bytes(10**6))
        )
        began = time.perf_counter()
        with pytest.raises((UnsafeInputError, DataError), match="bomb"):
            li.load("bomb")
        assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    "cell", ["../secret.png", "/etc/passwd", "a/../../secret.png", "~/x.png", "file:///etc/passwd", "\0.png"]
)
def test_a_table_names_no_picture_outside_its_folder(tmp_path, cell):
    (tmp_path / "pets").mkdir()
    for place in (tmp_path / "secret.png", tmp_path / "pets" / "0.png"):
        place.write_bytes(kinds.picture("PNG"))
    (tmp_path / "pets" / "metadata.csv").write_text(f"file_name,label\n0.png,a\n{cell},b\n")
    with pytest.raises((UnsafeInputError, DataError), match=r"metadata\.csv"):
        li.load("pets")


def test_folders_with_hidden_files_or_names_of_no_alphabet_are_read_or_refused(tmp_path):
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / ".labels.csv").write_text("a,b\n")
    (tmp_path / "git" / ".git").mkdir(parents=True)
    (tmp_path / "git" / ".git" / "x.png").write_bytes(kinds.picture("PNG"))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".t.parquet").write_bytes(b"")
    for name in ("hidden", "git", "deep"):
        with pytest.raises(DataError):
            li.load(name)
    for folder in (b"odd/\xff\xfe", b"odd/b"):
        os.makedirs(os.path.join(os.fsencode(tmp_path), folder))
        for row in range(8):
            with open(os.path.join(os.fsencode(tmp_path), folder, b"%d.png" % row), "wb") as file:
                file.write(kinds.picture("PNG", side=8 + row))
    try:
        li.load("odd")
    except LichenError as error:
        assert "udcff" in str(error)


# Recipes.

HEAD = "lichen: 1\ndata: digits\nsteps:\n"
RECIPES = {
    "a tag": HEAD + "  - compress.prune: {speedup: !!python/object/apply:os.system ['touch made']}",
    "a tag of a key": "!!python/name:os.system x: 1\n",
    "an unknown tag": HEAD + "  - !evil compress.prune",
    "laughs": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(
        f"{two}: &{two} [{', '.join([f'*{one}'] * 9)}]\n" for one, two in itertools.pairwise("abcdefghij")
    ),
    "an alias of itself": HEAD + "  - compress.prune: &a {speedup: *a}",
    "a merge": HEAD + "  - compress.prune: {<<: {speedup: 2}}",
    "10 MB": HEAD + "  - compress.prune\n" * 600_000,
    "depth": HEAD + "  - compress.prune: " + "[" * 20_000,
    "depth of mappings": HEAD + "  - compress.prune: " + "{a: " * 10_000,
    "depth that is closed": HEAD + "  - compress.prune: {x: " + "[" * 3_000 + "]" * 3_000 + "}",
    "NUL": HEAD + "  - compress.prune: {speedup: \0}",
    "an escaped NUL": 'lichen: 1\ndata: "a\\0b"\nsteps:\n  - compress.prune: {}\n',
    "half a letter": 'lichen: 1\ndata: digits\nname: "\\ud800"\nsteps: []\n',
    "a huge number": HEAD + "  - pretrain.train: {net: mlp, epochs: 1" + "0" * 400 + "}",
    "a huger number": HEAD + "  - pretrain.train: {net: mlp, epochs: 0x" + "f" * 5_000 + "}",
    "the hugest number": HEAD + "  - pretrain.train: {net: mlp, epochs: " + "9" * 5_000 + "}",
    "a number for a ratio": HEAD + "  - compress.prune: {speedup: 1" + "0" * 400 + "}",
    "a huge version": "lichen: 0x" + "f" * 5_000 + "\nsteps: []\n",
    "a huge key": "lichen: 1\n? 0x" + "f" * 5_000 + "\n: x\n",
    "a huge number in a mapping of options": HEAD
    + "  - pretrain.train: {net: mlp, net_options: {w: 0x"
    + "f" * 5_000
    + "}}",
    "a list for a name": "lichen: 1\ndata: {source: digits, as: [1]}\nsteps: []\n",
    "a name outside": HEAD.replace("data", "name: ../../x\ndata") + "  - compress.prune",
    "a number as an option": "lichen: 1\ndata: {1.5: x}\nsteps: []\n",
    "two documents": HEAD + "---\n" + HEAD,
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_hostile_recipe_is_refused_at_once_with_its_line(tmp_path, capsys, name):
    (tmp_path / "r.yaml").write_bytes(RECIPES[name].encode("utf-8", "surrogatepass"))
    began = time.perf_counter()
    assert main(["run", "r.yaml", "--store", "store"]) in (2, 3, 4)
    said = capsys.readouterr().err
    assert (
        time.perf_counter() - began < hostile.HANG_S
        and said.startswith("error: ")
        and "Traceback" not in said
    )
    assert "r.yaml" in said or "a\\x00b" in said
    assert not (tmp_path / "made").exists() and not list(tmp_path.glob("x*"))


@pytest.mark.parametrize(
    "change",
    [
        "prune.speedup=!!python/object/apply:os.system [touch made]",
        "prune.speedup=&a [*a]",
        "prune.speedup=!!int ''",
        "prune.speedup=" + "[" * 5_000,
        "prune.speedup=1" + "0" * 400,
        "prune.speedup=0x" + "f" * 5_000,
        "name=../../x",
        "prune.speedup={1: 2}",
        "=",
        "..=1",
        "prune.speedup=" + "x" * 200_000,
        "prune.speedup=!!binary aGk=",
    ],
)
def test_a_hostile_change_is_refused(tmp_path, change):
    recipe = recipefile.parse(HEAD + "  - pretrain.train: {net: mlp}\n  - compress.prune: {}\n")
    with pytest.raises((UsageError, UnsafeInputError)):
        flow.check(override(recipe, [change]))
    assert not (tmp_path / "made").exists()


# Paths, spelt in 500 ways.

UPS = ("..", "%2e%2e", "..%00", ". .", "...", "\u2024\u2024", "..;", "\uff0e\uff0e")
SLASHES = ("/", "\\", "//", "/./", "%2f", "%5c", "\u2215", "\u2044")
FRONTS = ("", "/", "./", "~/", "file://", "C:\\", "a/", "\0")
SPELLINGS = [
    f"{front}{slash.join([up] * depth)}{slash}secret"
    for front in FRONTS
    for up in UPS
    for slash in SLASHES
    for depth in (1, 4)
][:496] + ["/etc/passwd", "~root/x", "..", "."]


@pytest.fixture()
def deep(tmp_path, monkeypatch):
    """A working folder four levels down; whatever is written above it shows."""
    place = tmp_path / "1" / "2" / "3" / "4"
    (place / "shared").mkdir(parents=True)
    for level in (tmp_path, place.parent):
        (level / "secret").write_bytes(SECRET)
    monkeypatch.chdir(place)
    return tmp_path


def listing(folder: Path) -> dict[str, bytes | None]:
    """What lies under a folder, but for the log of a store that this process has not let go of yet."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if not path.name.endswith(("-shm", "-wal"))
    }


def test_there_are_500_spellings():
    assert len(set(SPELLINGS)) == 500


def test_no_spelling_is_a_name_in_the_store(deep):
    with opened(deep / "store") as session:
        value = session.store.keep(toy.a_model(1.0))
        before = sorted(listing(deep))
        for text in SPELLINGS:
            with pytest.raises(UsageError):
                session.store.names.move(text, value)
            with pytest.raises(NotFoundError):
                session.store.resolve(text)
        assert sorted(listing(deep)) == before


def test_no_spelling_is_the_name_of_a_life(deep):
    for text in SPELLINGS:
        recipe = (
            recipefile.parse(yaml.safe_dump({"lichen": 1, "name": text, "data": "digits", "steps": []}))
            if text.isprintable()
            else None
        )
        if recipe is not None:
            with pytest.raises(RecipeError, match="cannot be named"):
                flow.check(recipe)


def test_no_spelling_is_a_blob_or_an_entry_of_a_value_file(deep):
    gift = value_file(deep)
    with zipfile.ZipFile(gift) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    before = listing(deep)
    for text in SPELLINGS:
        whole = json.loads(entries[0][1])
        whole["files"]["model.onnx"]["blob"] = text
        for made in (
            [*entries, (f"blobs/{text}", b"x")],
            [*entries, (text, b"x")],
            [("manifest.json", json.dumps(whole).encode()), *entries[1:]],
        ):
            gift.write_bytes(hostile.zipped(made))
            with pytest.raises(UnsafeInputError):
                valuefile.read(gift)
    assert {**listing(deep), "gift.lichen": b""} == {**before, "gift.lichen": b""}


def test_no_spelling_leaves_the_shared_folder_or_asks_the_hub(deep, monkeypatch):
    monkeypatch.setenv("LICHEN_DATA", str(Path.cwd() / "shared"))
    empty = Path.cwd() / "shared" / "deeper"
    empty.mkdir()
    before = listing(deep)
    for text in SPELLINGS:
        try:
            place = sources.resolve(text, folder=empty)
        except LichenError:
            pass
        else:  # a path from the working folder is the user's own to give
            assert place.kind == "folder"
        for prefix in ("hf:", "timm:", "hf:org/name@", "hf:org/"):
            with pytest.raises(NotFoundError):
                sources.resolve(prefix + text)
    assert listing(deep) == before


def test_no_spelling_is_read_by_the_command_line_as_a_run_or_a_value(deep, capsys):
    with opened(deep / "store") as session:
        session.store.keep(toy.a_model(1.0))
    before = sorted(listing(deep))
    for text in SPELLINGS[::10]:
        for words in (
            ["log", "--track", f"tensorboard:{deep}/board", "--", text],
            ["show", "--", text],
            ["predict", "--", text, "x.png"],
        ):
            assert main([*words[:1], "--store", str(deep / "store"), *words[1:]]) in (2, 3, 4, 5)
            said = capsys.readouterr()
            assert SECRET.decode() not in said.err + said.out
    assert sorted(listing(deep)) == before


def test_no_spelling_is_a_file_of_a_program(deep):
    before = listing(deep)
    for text in SPELLINGS:
        gift = Program.build(
            format="onnx",
            files={text: b"x"},
            runtime="onnxruntime",
            precision="float32",
            task="x",
            num_params=0,
        )
        with pytest.raises(UnsafeInputError):
            gift.write(Path.cwd() / "out")
    assert listing(deep) == before and names.PATTERN.fullmatch("digits@prod")


# The source.

ALLOWED = {
    (
        "engine/modules/quarantine.py",
        "torch.load",
    ): "the child process in which known pickles of tensors are converted"
}


def test_nothing_in_the_source_runs_text_or_opens_a_pickle():
    found = {
        (str(path.relative_to(SRC)), what)
        for path in sorted(SRC.rglob("*.py"))
        for what, _ in source.dangers(path.read_text(encoding="utf-8"))
    }
    assert found == set(ALLOWED)


def test_the_quarantined_call_takes_tensors_only_and_stands_in_the_child():
    text = (SRC / "engine/modules/quarantine.py").read_text(encoding="utf-8")
    (line,) = [text.splitlines()[row - 1] for what, row in source.dangers(text) if what == "torch.load"]
    assert "weights_only=True" in line and text.index(line) > text.index("def main(")


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "import torch; torch.load(p)",
        "import torch as t\nt.load(p, weights_only=True)",
        "from torch import load",
        "import yaml; yaml.load(x, Loader=y)",
        "from yaml import unsafe_load",
        "import yaml; yaml.Loader",
        "eval(x)",
        "exec(x)",
        "f = eval",
        "getattr(torch, 'load')(x)",
        "archive.extractall(x)",
        "import shutil; shutil.unpack_archive(x)",
        "import marshal",
        "import shelve",
        "import joblib",
        "numpy.load(x, allow_pickle=True)",
        "np.load(x, allow_pickle=flag)",
        "subprocess.run(x, shell=True)",
        "import os; os.system(x)",
        "from os import system, popen",
        "import pandas; pandas.read_pickle(x)",
        "frame.read_pickle(x)",
        "import_module('pickle')",
        "__import__('pickle')",
        "import torch.hub",
        "from torch import hub",
        "def f():\n    import _pickle",
    ],
)
def test_a_planted_line_is_caught(line):
    if "os import" in line:
        line = "import os\nos.system"
    assert list(source.dangers(line))


@pytest.mark.parametrize(
    "line",
    [
        "module.eval()",
        "re.compile(x)",
        "numpy.load(x, allow_pickle=False)",
        "run(x, shell=False)",
        "json.load(x)",
        "yaml.safe_load(x)",
        "find.load('lichen.core.life')",
    ],
)
def test_a_harmless_line_is_not(line):
    assert not list(source.dangers(line))


def test_a_segfault_of_the_command_line_would_show(tmp_path):
    """The whole door once, from outside: a value file of noise, a picture of noise, a recipe of noise."""
    noise = np.random.default_rng(0).bytes(2000)
    for name in ("gift.lichen", "x.png", "r.yaml"):
        (tmp_path / name).write_bytes(noise)
    for words in (["predict", "gift.lichen", "x.png"], ["run", "r.yaml"]):
        done = subprocess.run(
            [sys.executable, "-m", "lichen", *words], capture_output=True, text=True, check=False
        )
        assert done.returncode in (2, 4) and done.stderr.startswith("error: ")
