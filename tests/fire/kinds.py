"""kinds: for each kind of input small valid ones, how they are made wrong, and the door that reads them.

Shapes: N rows, C channels, H height, W width.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
from fire.hostile import (
    Kind,
    bytes_changed,
    json_changed,
    safetensors_changed,
    text_changed,
    zip_changed,
)

from lichen.core import flow, recipefile, valuefile
from lichen.core.dataset import Dataset
from lichen.core.model import Model
from lichen.core.override import override
from lichen.core.program import Program
from lichen.core.value import Value
from lichen.data import loading, pictures
from lichen.data.texts import Texts

RECIPES = (
    b"lichen: 1\nname: digits\ndata: digits\nsteps:\n  - augment.policy: {ops: [shift, {rotate: 15}, zoom]}\n"
    b"  - pretrain.train: {net: resnet20, epochs: 10, seed: 1}\n    as: teacher\n"
    b"  - compress.prune: {speedup: 2.0}\n  - compress.quantize: {}\nstudies:\n  - ablate: {}\n",
    b"# a comment\nlichen: 1\ndata: {source: 'photos/', keep: true, validation: 0.2, as: photos}\nsteps:\n"
    b"  - prepare.load: {source: other, num_train: 3}\n    as: more\n"
    b"  - pretrain.train:\n      data: $photos\n"
    b"      net: cnn\n      net_options: {width: 8, depth: [1, 2]}\n      epochs: 1e1\n"
    b'  - adapt.finetune: {data: "$more"}\n',
)
SMALL = loading.Plan()
Change = Callable[[random.Random, bytes], bytes]


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def picture(kind: str, mode: str = "RGB", side: int = 12, **more) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels(1, side, side, 3)).convert(mode).save(file, kind, **more)
    return file.getvalue()


def encoded_pictures() -> list[bytes]:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        picture("PNG"),
        picture("PNG", "P"),
        picture("PNG", "LA"),
        picture("JPEG", exif=exif),
        picture("JPEG", "L", progressive=True),
        picture("JPEG", "CMYK"),
        picture("GIF", "P"),
        picture("BMP"),
        picture("WEBP"),
        picture("WEBP", "RGBA", lossless=True),
        picture("TIFF", compression="tiff_lzw"),
        picture("TIFF", compression="packbits"),
        picture("TIFF", compression="jpeg"),
        picture("PPM"),
    ]


def recipe_read(folder: Path, data: bytes) -> None:
    (folder / "life.yaml").write_bytes(data)
    recipe = recipefile.read(folder / "life.yaml")
    flow.check(recipe)
    recipefile.dump(recipe)


CHANGES = (
    b"train.epochs=20",
    b"teacher.net=resnet56",
    b"data=mnist",
    b"augment.policy.ops=[shift, {rotate: 3}]",
    b"prune.speedup=1e-3",
    b"name=x",
    b"data.validation=0.5",
    b"quantize.data=$teacher",
    b"train.net_options={a: 1}",
)


def override_read(data: bytes) -> None:
    recipe = recipefile.parse(RECIPES[0].decode())
    changed = override(recipe, [data.decode("utf-8", "surrogateescape")])
    flow.check(changed)
    recipefile.dump(changed)


def rows_read(folder: Path, source: Path) -> None:
    data = loading.load(str(source), SMALL, note=lambda text: None)
    for split in data.splits:
        if data.num_rows(split):
            rows = data.rows(split)
            _ = rows.texts if isinstance(rows, Texts) else rows.batch(np.arange(rows.num_rows), 6)


def file_read(folder: Path, name: str, data: bytes) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    _forget()
    rows_read(folder, folder / Path(name).parts[0])


def _forget() -> None:
    """Readers keep parsed files by their time stamps, which are too coarse for so many files a second."""
    from lichen.data import columnar, records
    from lichen.data.readers import idx, table
    from lichen.data.stored import KEPT

    idx._parsed.cache_clear()
    columnar._table.cache_clear()
    table._table.cache_clear()
    records._table.cache_clear()
    KEPT.entries.clear()


def pixel_tables() -> list[bytes]:
    lines = ["label," + ",".join(f"pixel{place}" for place in range(16))]
    lines += [f"{row % 2}," + ",".join(str(one) for one in pixels(row, 16)) for row in range(12)]
    split = ["split," + lines[0]] + [
        f"{('train', 'val', 'test')[row % 3]},{line}" for row, line in enumerate(lines[1:])
    ]
    return ["\n".join(lines).encode(), "\r\n".join(split).encode()]


def path_tables() -> list[bytes]:
    rows = "".join(f"{row}.png,{'cat' if row % 2 else 'dog'}\n" for row in range(8))
    return [f"file_name,label\n{rows}".encode(), f'"image","class"\n{rows}'.encode()]


SAYINGS = (
    "a thin crust",
    'with "quotes", commas',
    "雨 and 😀",
    "naïve\tcafé",
    "",
    "two\nlines",
    *map(str, range(9)),
)


ODD_LINES = (
    b"[" * 100_000, b'{"a":' * 100_000, b'{"text": "' + b"x" * 300_000, b"9" * 5000, b"null", b"\0" * 99,
    b'{"text": "\\ud800", "label": 1}', b'{"text": "a", "text": 1}', b"NaN", b"\xff\xfe",
)  # fmt: skip


def lines_of_json() -> list[bytes]:
    plain = [json.dumps({"text": text, "label": row % 2}) for row, text in enumerate(SAYINGS)]
    more = [
        {"id": row, "content": text, "split": ("train", "test")[row % 2], "meta": {"a": [1, {}]}}
        for row, text in enumerate(SAYINGS)
    ]
    other = [json.dumps(record, ensure_ascii=False) for record in more]
    return ["\n".join(plain).encode(), "\r\n".join(other).encode() + b"\n"]


def lines_changed(rng: random.Random, data: bytes) -> bytes:
    """Lines of JSON of which one says something else, or whose bytes are changed."""
    lines = data.split(b"\n")
    row = rng.randrange(len(lines))
    what = rng.randrange(8)
    if what < 3:
        return bytes_changed(rng, data)
    if what < 6:
        try:
            lines[row] = json.dumps(json_changed(rng, json.loads(lines[row]))).encode(
                "utf-8", "surrogatepass"
            )
        except (ValueError, RecursionError):
            return bytes_changed(rng, data)
    else:
        lines[row] = rng.choice(ODD_LINES)
    return b"\n".join(lines)


def tables_of_texts(form: str) -> list[bytes]:
    how = {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "quotechar": None} if form == "tsv" else {}
    texts = [text for text in SAYINGS if form == "csv" or not set(text) & set("\t\n")]
    found = []
    for names, more in ((("label", "text"), ()), (("split", "sentence", "class"), ("train", "dev", "test"))):
        file = io.StringIO()
        out = csv.writer(file, **how)
        out.writerow(names)
        for row, text in enumerate(texts):
            out.writerow([more[row % 3], text, row % 2] if more else [row % 2, text])
        found.append(file.getvalue().encode())
    return found


def text_files() -> list[bytes]:
    paragraphs = [f"{text} {'und so weiter ' * 40}" for text in SAYINGS]
    return [("\n\n".join(paragraphs) * 4).encode(), "Nur eine Zeile, doch nicht nichts: ä, 雨".encode()]


def columns_of_texts(form: str) -> list[bytes]:
    import pyarrow as pa
    import pyarrow.parquet

    found = []
    for place, kind in enumerate((pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()))):
        table = pa.table({"text": pa.array(SAYINGS, kind), "label": [row % 2 for row in range(len(SAYINGS))]})
        file = io.BytesIO()
        if form == "parquet":
            pyarrow.parquet.write_table(
                table, file, row_group_size=4, compression=("none", "snappy", "zstd")[place]
            )
        else:
            with pa.ipc.new_file(file, table.schema) as out:
                out.write_table(table, max_chunksize=5)
        found.append(file.getvalue())
    return found


def table_of_paths_read(folder: Path, data: bytes) -> None:
    for row in range(8):
        place = folder / "pets" / f"{row}.png"
        if not place.is_file():
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(picture("PNG", side=8 + row))
    file_read(folder, "pets/metadata.csv", data)


def idx_files() -> tuple[bytes, bytes]:
    images = struct.pack(">4I", 0x803, 20, 5, 5) + pixels(3, 20 * 25).tobytes()
    return images, struct.pack(">2I", 0x801, 20) + bytes(row % 3 for row in range(20))


def idx_read(folder: Path, data: bytes) -> None:
    """Images and labels stand in one blob, so that one case changes either."""
    place = folder / "idx"
    place.mkdir(exist_ok=True)
    cut = data.rfind(b"\0\0\x08\x01")
    images, labels = (data[:cut], data[cut:]) if cut > 0 else (data, idx_files()[1])
    (place / "train-labels-idx1-ubyte").write_bytes(labels)
    file_read(folder, "idx/train-images-idx3-ubyte", images)


def zipped_idx_read(folder: Path, data: bytes) -> None:
    place = folder / "gz"
    place.mkdir(exist_ok=True)
    (place / "train-labels-idx1-ubyte").write_bytes(idx_files()[1])
    file_read(folder, "gz/train-images-idx3-ubyte.gz", data)


def image_read(data: bytes) -> None:
    pictures.probe(data)
    pictures.decode(data, 3, 8)
    pictures.decode(data, 1)


def tables(form: str) -> list[bytes]:
    import pyarrow as pa
    import pyarrow.feather
    import pyarrow.parquet

    images = [picture("PNG", side=8 + row % 2) for row in range(9)]
    features = {
        "info": {
            "features": {
                "image": {"_type": "Image"},
                "label": {"names": ["a", "b", "c"], "_type": "ClassLabel"},
            }
        }
    }
    plain = pa.table(
        {"image": [{"bytes": one, "path": None} for one in images], "label": [row % 3 for row in range(9)]}
    )
    hub = plain.replace_schema_metadata({"huggingface": json.dumps(features)})
    named = pa.table(
        {"img": images, "class": pa.array([("x", "y")[row % 2] for row in range(9)]).dictionary_encode()}
    )
    found = []
    for place, table in enumerate((plain, hub, named)):
        file = io.BytesIO()
        if form == "parquet":
            pyarrow.parquet.write_table(
                table, file, row_group_size=4 + place, compression=("none", "snappy", "zstd")[place]
            )
        elif place == 1:
            with pa.ipc.new_stream(file, table.schema) as out:
                out.write_table(table)
        else:
            pyarrow.feather.write_feather(table, file, compression=("uncompressed", "", "lz4")[place])
        found.append(file.getvalue())
    return found


def hub_changed(rng: random.Random, data: bytes) -> bytes:
    """A table of pictures whose note of the hub says something else."""
    import pyarrow as pa
    import pyarrow.parquet

    if rng.random() < 0.7:
        return bytes_changed(rng, data)
    try:
        table = pyarrow.parquet.read_table(io.BytesIO(data), use_threads=False)
        note = json.loads(table.schema.metadata[b"huggingface"])
        file = io.BytesIO()
        made = table.replace_schema_metadata({"huggingface": json.dumps(json_changed(rng, note))})
        pyarrow.parquet.write_table(made, file)
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError):
        return bytes_changed(rng, data)
    return file.getvalue()


def weights_of(seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {
        "body.0.weight": generator.normal(size=(2, 1, 3, 3)).astype("float32"),
        "body.0.bias": np.zeros(2, "float32"),
        "head.weight": np.ones((3, 2), "float16"),
        "head.bias": np.zeros(3, "float64"),
        "steps": np.array(7, "int64"),
    }


def safetensors_files() -> list[bytes]:
    from safetensors.numpy import save

    return [
        save(weights_of(1), {"normalisation": "imagenet"}),
        save({**weights_of(2), "empty": np.zeros((0, 3), "int8"), "flags": np.array([True])}),
    ]


def safetensors_read(folder: Path, data: bytes) -> None:
    from torch import nn

    from lichen.engine.modules import pretrained

    (folder / "net.safetensors").write_bytes(data)
    found = pretrained.read(folder / "net.safetensors")
    module = nn.Module()
    module.body, module.head = nn.Sequential(nn.Conv2d(1, 2, 3)), nn.Linear(2, 3)
    module.load_state_dict(pretrained.matched(found.tensors, module), strict=False)


def graphs() -> list[bytes]:
    """A small net of uint8 pictures (N, 1, 4, 4), float and quantized."""
    from onnx import TensorProto, helper, numpy_helper

    def made(nodes: list, weights: dict[str, np.ndarray]) -> bytes:
        graph = helper.make_graph(
            nodes,
            "net",
            [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["rows", 1, 4, 4])],
            [helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["rows", 3])],
            [numpy_helper.from_array(array, name) for name, array in weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return model.SerializeToString(deterministic=True)

    float32 = {
        "k": np.ones((2, 1, 3, 3), "float32"),
        "w": np.ones((8, 3), "float32"),
        "b": np.zeros(3, "float32"),
    }
    head = [helper.make_node("Flatten", ["h"], ["f"]), helper.make_node("Gemm", ["f", "w", "b"], ["outputs"])]
    body = [
        helper.make_node("Cast", ["pixels"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["x", "k"], ["c"]),
        helper.make_node("Relu", ["c"], ["h"]),
    ]
    scale = {"s": np.array(0.1, "float32"), "z": np.array(0, "uint8")}
    both = [
        helper.make_node("Cast", ["pixels"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Conv", ["d", "k"], ["h"]),
    ]
    return [made([*body, *head], float32), made([*both, *head], {**float32, **scale})]


def graph_changed(rng: random.Random, data: bytes) -> bytes:
    """An ONNX file that still parses, and of which one field says something else."""
    import onnx
    from google.protobuf.message import DecodeError

    if rng.random() < 0.25:
        return bytes_changed(rng, data)
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError:
        return bytes_changed(rng, data)
    found, waiting = [], [model]
    while waiting:
        part = waiting.pop()
        for field, held in part.ListFields():
            found.append((part, field, held))
            if field.message_type is not None:
                waiting += [held] if hasattr(held, "ListFields") else list(held)
    part, field, held = rng.choice(found)
    with suppress(ValueError, TypeError, IndexError):  # what the field cannot hold, or an empty one
        _field_changed(rng, part, field, held)
    return model.SerializeToString()


def _field_changed(rng: random.Random, part, field, held) -> None:
    is_list = hasattr(held, "add") or hasattr(held, "append")
    what = rng.randrange(4)
    if what == 0:
        part.ClearField(field.name)
    elif field.message_type is not None:
        if is_list and what == 1:
            del held[rng.randrange(len(held))]
        elif is_list:
            held.add().CopyFrom(rng.choice(list(held)))
    elif is_list:
        held.append(_other(rng, held[0]))
        if what == 1:
            held[0] = _other(rng, held[0])
    else:
        setattr(part, field.name, _other(rng, held))


def _other(rng: random.Random, held):
    if isinstance(held, bytes):
        return bytes_changed(rng, held)
    if isinstance(held, str):
        return rng.choice(
            (
                "",
                "x",
                "w",
                "h",
                "outputs",
                "pixels",
                "If",
                "Loop",
                "Conv",
                "Resize",
                "Reshape",
                "Gather",
                "rows",
                "..",
                "Einsum",
            )
        )
    if isinstance(held, float):
        return rng.choice((0.0, -1.0, 1e30, float("nan"), float("inf")))
    return rng.choice((0, 1, -1, 2, 3, 7, 10, 16, 255, 2**16, 2**31 - 1, -(2**31)))


def graph_read(runtime: str, data: bytes) -> None:
    from lichen.engine.programs import runtimes

    run = runtimes.load(runtime, {"model.onnx": memoryview(data)}, threads=1)
    run(np.zeros((2, 1, 4, 4), np.uint8))


def representation_read(data: bytes) -> None:
    from lichen.engine.programs import runtimes

    length = int.from_bytes(data[:4], "little") % (len(data) + 1)
    files = {"model.xml": memoryview(data[4 : 4 + length]), "model.bin": memoryview(data[4 + length :])}
    runtimes.load("openvino", files, threads=1)(np.zeros((2, 1, 4, 4), np.uint8))


def representations() -> list[bytes]:
    from lichen.engine.programs import graph

    found = [graph.openvino_of(data) for data in graphs()]
    return [len(f["model.xml"]).to_bytes(4, "little") + f["model.xml"] + f["model.bin"] for f in found]


def a_model() -> Model:
    import torch

    from lichen.engine.modules import architecture, backend

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        module = architecture.build("mlp", {}, (1, 4, 4), 3)
    assets = {"labels": ["a", "b", "c"], "mean": [0.5], "std": [0.5], "image_shape": [1, 4, 4]}
    return backend.wrap(module, task="image_classification", assets=assets)


def archives() -> list[bytes]:
    from lichen.engine.programs import graph

    return [graph.torch_of(a_model())]


def archive_read(data: bytes) -> None:
    from lichen.engine.programs import runtimes

    run = runtimes.load("torch", {"model.pt2": memoryview(data)}, threads=1)
    run(np.zeros((2, 1, 4, 4), np.uint8))


def a_program() -> Program:
    return Program.build(
        format="onnx",
        files={"model.onnx": graphs()[0]},
        runtime="onnxruntime",
        precision="float32",
        task="image_classification",
        num_params=29,
        assets={"labels": ["a", "b", "c"], "mean": [0.5], "std": [0.5], "image_shape": [1, 4, 4]},
    )


def a_dataset() -> Dataset:
    import lichen as li

    return li.arrays(pixels(1, 20, 1, 4, 4), np.arange(20) % 2)


def value_files(folder: Path) -> list[bytes]:
    import toy

    from lichen.core.session import opened

    with opened(folder / "store"):
        made = toy.tune(toy.draw(seed=1), toy.rows(seed=2), times=3)
        values: list[Value] = [a_model(), a_program(), a_dataset(), made]
        return [value.save(folder / "saved.lichen").read_bytes() for value in values]


def value_read(folder: Path, data: bytes) -> None:
    """Opens a value file and does with the value what the command line does with one."""
    (folder / "gift.lichen").write_bytes(data)
    value = valuefile.read(folder / "gift.lichen")
    str(value), value._repr_html_(), value.facts(), value.origin()
    value.save(folder / "again.lichen")
    if isinstance(value, Dataset):
        for split in value.splits:
            value.rows(split).batch(np.arange(2), 4)
    if isinstance(value, Model) and value.task:
        value.torch()
    if isinstance(value, Model | Program) and value.task:
        value.predict([pixels(0, 1, 4, 4)])
    if isinstance(value, Program):
        value.write(folder / "out")


def kinds(folder: Path) -> dict[str, Kind]:
    """Every kind, reading in a folder of its own two levels down, so that what climbs out is seen."""
    at = folder / "house" / "room"
    at.mkdir(parents=True)
    raw_idx = [b"".join(idx_files())]

    def read_as(name: str, file: str, corpus: list[bytes], change: Change) -> Kind:
        return Kind(name, corpus, change, lambda data: file_read(at, file, data), file)

    found = [
        Kind("recipe", RECIPES, text_changed, partial(recipe_read, at), "life.yaml"),
        Kind("override", CHANGES, text_changed, override_read),
        Kind(
            "table of pixels",
            pixel_tables(),
            text_or_bytes,
            lambda data: file_read(at, "pixels.csv", data),
            "pixels.csv",
        ),
        Kind("table of paths", path_tables(), text_or_bytes, partial(table_of_paths_read, at), "pets"),
        Kind("idx", raw_idx, bytes_changed, partial(idx_read, at), "idx"),
        Kind(
            "idx.gz",
            [gzip.compress(idx_files()[0], mtime=0)],
            bytes_changed,
            partial(zipped_idx_read, at),
            "gz",
        ),
        Kind("image", encoded_pictures(), bytes_changed, image_read),
        Kind(
            "parquet",
            tables("parquet"),
            hub_changed,
            lambda data: file_read(at, "t.parquet", data),
            "t.parquet",
        ),
        Kind("arrow", tables("arrow"), bytes_changed, lambda data: file_read(at, "t.arrow", data), "t.arrow"),
        read_as("lines of JSON", "l.jsonl", lines_of_json(), lines_changed),
        read_as("table of texts", "t.csv", tables_of_texts("csv"), text_or_bytes),
        read_as("table with tabs", "t.tsv", tables_of_texts("tsv"), text_or_bytes),
        read_as("text file", "t.txt", text_files(), bytes_changed),
        read_as("parquet of texts", "s.parquet", columns_of_texts("parquet"), bytes_changed),
        read_as("arrow of texts", "s.arrow", columns_of_texts("arrow"), bytes_changed),
        Kind("safetensors", safetensors_files(), safetensors_changed, partial(safetensors_read, at)),
        Kind("onnx", graphs(), graph_changed, partial(graph_read, "onnxruntime")),
        Kind("onnx in openvino", graphs(), graph_changed, partial(graph_read, "openvino")),
        Kind("openvino", representations(), bytes_changed, representation_read),
        Kind("torch archive", archives(), zip_changed, archive_read),
        Kind("value file", value_files(folder), zip_changed, partial(value_read, at)),
    ]
    return {kind.name: kind for kind in found}


def text_or_bytes(rng: random.Random, data: bytes) -> bytes:
    return rng.choice((text_changed, bytes_changed))(rng, data)
