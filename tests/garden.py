"""garden: a user's package in a temporary folder, to be changed in one place at a time and imported anew.

`<<name:old=>new>>` in a source marks a place: the base has every old text, the change `name` has its new one.
"""

from __future__ import annotations

import hashlib
import importlib
import linecache
import re
import shutil
import sys
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import numpy as np

from lichen.core import step
from lichen.core.array import Array
from lichen.core.dataset import Dataset
from lichen.core.model import Model
from lichen.core.session import opened
from lichen.core.value import Memory

MARK = re.compile(r"<<(\w+):(.*?)=>(.*?)>>", re.DOTALL)
MODES = ("module", "session")
_cells = count()

FILES = {
    "plot/__init__.py": "LEVEL = <<package_constant:1=>2>>\n",
    "plot/steps.py": '''
import functools
import importlib
import math
import re
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum
from functools import partial, wraps
from pathlib import Path
from typing import NamedTuple

import fakepack
import flat
import lichen as li
import numpy as np
import plot.attribute
import plot.dotted.far as far_alias
from lichen.core.array import Array
from plot import chosen
from plot import sub as sub_alias
from plot.factory import make_reader, registry
from plot.helper import Warm, cold as chilly, warm
from plot.star import *

try:
    from plot.optional import best
except ImportError:
    best = None
if <<condition_of_module:True=>False>>:
    BRANCH = <<constant_in_if:5=>6>>
else:
    BRANCH = 0

INTEGER = <<constant_int:3=>4>>
FLOAT = <<constant_float:0.5=>0.25>>
TINY = <<constant_float_last_digit:0.1=>0.10000000000000002>>
ZERO = <<constant_sign_of_zero:0.0=>-0.0>>
TEXT = <<constant_text:"moss"=>"mosses">>
SPACE = <<constant_text_space:"a b"=>"a  b">>
RAW = <<constant_bytes:b"ab"=>b"ac">>
TRUTH = <<constant_bool:True=>False>>
ONE = <<constant_type:1=>1.0>>
NOTHING = <<constant_none:None=>0>>
COMPLEX = <<constant_complex:2j=>3j>>
LIST = [1, [2, [<<nested_list:3=>4>>]], "<<nested_list_text:x=>y>>"]
TUPLE = (1, (2, <<nested_tuple:3=>4>>))
KIND = <<container_kind:(1, 2)=>[1, 2]>>
ORDER = <<container_order:[1, 2]=>[2, 1]>>
LENGTH = <<container_length:[1, 2, 3]=>[1, 2, 3, 4]>>
SET = {1, 2, <<set_member:3=>4>>}
FROZEN = frozenset({"a", <<frozenset_member:"b"=>"c">>})
DICT = {"a": {"b": [<<dict_value:1=>2>>]}, "<<dict_key:k=>l>>": 1}
DICT_ORDER = <<dict_order:{"a": 1, "b": 2}=>{"b": 2, "a": 1}>>
PATTERN = re.compile(<<pattern:"a+"=>"a*">>, <<pattern_flags:0=>re.IGNORECASE>>)
FOLDER = Path(<<path:"a/b"=>"a/c">>)
RANGE = range(<<range_stop:3=>4>>)
ARRAY = np.array([1.0, <<array_item:2.0=>3.0>>])
ARRAY_KIND = np.array([1, 2], dtype="<<array_dtype:float32=>float64>>")
ARRAY_SHAPE = np.zeros(<<array_shape:(2, 3)=>(3, 2)>>)
SCALAR = np.float32(<<numpy_scalar:1.5=>2.5>>)
OBJECTS = np.array(["a", <<object_array:None=>1>>], dtype=object)
VALUE = li.Model.build(net="plot.nets:small", options={"width": <<value_option:1=>2>>},
                       weights={"w": Array.of(np.array([<<value_tensor:1.0=>2.0>>], dtype="float32"))},
                       assets={"labels": [<<value_asset:"a"=>"b">>]}, part="<<value_part:net=>body>>")
COMPUTED = [i * <<computed_constant:2=>3>> for i in range(3)]
SLICED = "abcdef"[<<computed_slice:1=>2>>:]
LAMBDA = lambda x: x + <<lambda_constant:1=>2>>
LAMBDA_DEFAULT = lambda x, y=<<lambda_default:1=>2>>: x + y
LAMBDAS = [lambda x: x * <<lambda_in_list:2=>3>>, abs]
PARTIAL = partial(pow, <<partial_argument:2=>3>>)
PARTIAL_NAMED = partial(warm, extra=<<partial_keyword:1=>2>>)
PARTIAL_OF = partial(<<partial_function:min=>max>>, 1)
DISPATCH = {"a": <<function_in_dict:math.sin=>math.cos>>, "b": [warm]}
UFUNC = <<ufunc:np.sin=>np.cos>>
DTYPE = np.dtype(<<numpy_dtype:"int8"=>"int16">>)
READER = make_reader(<<closure_from_module:1=>2>>)
READERS = [make_reader(7), make_reader(<<second_closure_of_one_name:8=>9>>)]
BOUND = Warm(<<bound_method_self:1=>2>>).heat


def make_adder(amount, scale=<<factory_default:1=>2>>):
    inner = amount * <<closure_computed:2=>3>>

    def add(x):
        return x + inner * scale + <<closure_body:1=>2>>

    return add


ADD = make_adder(<<closure_argument:1=>2>>)
ADDERS = (make_adder(3), make_adder(<<closure_argument_second:4=>5>>))
ADD_LAMBDA = (lambda k: lambda x: x + k)(<<lambda_captured:1=>2>>)


def scaled(by, *, also=<<decorator_default:1=>2>>):
    def around(fn):
        @wraps(fn)
        def inner(*args, **options):
            result = fn(*args, **options)
            assert by and also and <<decorator_body:1=>2>>
            return result

        return inner

    return around


def plain_mark(fn):
    return lambda *args: fn(*args) + <<decorator_without_wraps:1=>2>>


@plain_mark
def marked(x):
    return x + <<body_under_decorator:1=>2>>


@scaled(<<decorator_argument_of_helper:2=>3>>)
def wrapped(x):
    return x + <<body_under_wraps:1=>2>>


UNWRITTEN = scaled(<<wraps_called_later:4=>5>>)(lambda x: x)


@functools.lru_cache(maxsize=None)
def cached(x):
    return x + <<body_under_cache:1=>2>>


class Base:
    OFFSET = <<base_class_constant:1=>2>>

    def lift(self, x):
        return x + self.OFFSET + <<base_class_method:1=>2>>


class Meta(type):
    def __call__(cls, *args):
        return super().__call__(*args) if <<metaclass_body:1=>2>> else None


class Thing(Base, metaclass=Meta):
    SIZE = <<class_constant:1=>2>>
    TABLE = {"a": [<<class_nested_constant:1=>2>>]}
    if <<class_body_condition:1 > 0=>1 < 0>>:
        CHOSEN = <<class_body_branch:1=>2>>
    else:
        CHOSEN = 0

    def __new__(cls, *args):
        return super().__new__(cls) if <<class_new:1=>2>> else None

    def __init__(self, start=<<init_default:1=>2>>):
        self.start = start + <<init_body:1=>2>>

    def method(self, x, *, power=<<method_kwdefault:2=>3>>):
        return x ** power + <<method_body:1=>2>> + self.CHOSEN + self.SIZE + self.TABLE["a"][0]

    @staticmethod
    def static(x):
        return x + <<staticmethod_body:1=>2>>

    @classmethod
    def of(cls):
        return cls(<<classmethod_body:1=>2>>)

    @property
    def value(self):
        return self.start + <<property_body:1=>2>>

    @functools.cached_property
    def once(self):
        return self.start + <<cached_property_body:1=>2>>

    def __call__(self, x):
        return x + <<dunder_call:1=>2>>

    def __add__(self, other):
        return other + <<dunder_add:1=>2>>

    class Inner:
        DEPTH = <<inner_class_constant:1=>2>>

        def dig(self):
            return self.DEPTH + <<inner_class_method:1=>2>>


@dataclass(frozen=<<dataclass_option:True=>False>>)
class Config:
    rate: float = <<dataclass_default:0.1=>0.2>>
    names: list = field(default_factory=<<dataclass_factory:list=>tuple>>)
    width: int = 1

    def area(self):
        return self.rate + <<dataclass_method:1=>2>>


CONFIG = Config(width=<<dataclass_instance:1=>2>>)


class Colour(Enum):
    RED = <<enum_member:1=>2>>
    BLUE = "b"


COLOUR = <<enum_choice:Colour.RED=>Colour.BLUE>>


class Level(IntEnum):
    LOW = <<int_enum_member:1=>2>>


LEVEL = Level.LOW


class Point(NamedTuple):
    x: int
    y: int = <<namedtuple_default:1=>2>>


POINT = Point(<<namedtuple_item:1=>2>>)


def default(x=<<function_default:1=>2>>, *, y=<<function_kwdefault:1=>2>>):
    return x + y


def default_of_name(x=INTEGER, y=<<default_name:BRANCH=>ONE>>):
    return x


def helper(x):
    def nested(y):
        return y + <<nested_function:1=>2>>

    return second_helper(nested(x)) + <<local_helper:1=>2>>


def second_helper(x):
    return third_helper(x) + <<helpers_helper:1=>2>>


def third_helper(x):
    global_table = GLOBAL_TABLE
    return x + len(global_table) + recursive(2)


GLOBAL_TABLE = [0] * <<global_of_deep_helper:3=>4>>


def recursive(n):
    return 0 if n == <<recursive_body:0=>1>> else recursive(n - 1)


def forms(x):
    y = x <<operator:+=>->> 1
    y = -y if x <<comparison:>=>>=>> 0 else y
    y = (x <<boolean_operator:and=>or>> y) or 1
    y += <<augmented_assignment:1=>2>>
    for i in range(<<loop_bound:2=>3>>):
        y += i
        if i == <<branch_test:1=>2>>:
            <<loop_exit:break=>continue>>
    while y > 1000:
        y -= <<while_body:1=>2>>
    try:
        y += int(<<try_body:"1"=>"2">>)
    except <<exception_kind:ValueError=>TypeError>>:
        y = <<except_body:1=>2>>
    else:
        y += <<else_body:1=>2>>
    finally:
        y += <<finally_body:1=>2>>
    with open("/dev/null") as file:
        y += len(file.read(<<with_body:1=>2>>))
    y += sum(v for v in [1, 2, 3] if v > <<generator_condition:1=>2>>)
    y += len({k: k for k in range(<<dict_comprehension:2=>3>>)})
    y += (z := <<walrus:1=>2>>) + z
    match x:
        case <<match_case:1=>2>>:
            y += <<match_body:1=>2>>
    y += [1, 2, 3][<<index:0=>1>>]
    y += len(f"{x}<<fstring_text:a=>b>>{y:<<fstring_format:3=>4>>}")
    y += max(*[1, <<starred_argument:2=>3>>])
    first, second = <<unpacked:1, 2=>1, 3>>
    y = <<order_of_arguments:divmod(9, 4)=>divmod(4, 9)>>[0]
    del <<deleted_name:first=>second>>
    assert y is not <<asserted:None=>...>>
    return <<returned:y=>y + 0>>


def late():
    from plot.lazy import melt
    import plot.lazy_module as lazy_module
    loaded = importlib.import_module("plot.by_string")
    return melt() + lazy_module.drip() + loaded.named() + <<lazy_body:1=>2>>


@li.step
@scaled(<<decorator_argument_of_step:2=>3>>)
def grow(data: li.Dataset, model: li.Model, teacher: li.Model | None = None, *,
         net: li.Net = "plot.nets:small", reward: li.Function | None = None, epochs: li.Count = 1,
         rate: li.Positive = 0.1, mode: str = "a", fast: bool = False, names: list[str] = [],
         sizes: list[int] = [],
         extra: dict = {}, seed: li.Seed = 0, run: li.Run) -> li.Model:
    """Everything above, at once."""
    run.emit("note", text="grown")
    held = [INTEGER, FLOAT, TINY, ZERO, TEXT, SPACE, RAW, TRUTH, ONE, NOTHING, COMPLEX, LIST, TUPLE, KIND,
            ORDER, LENGTH,
            SET, FROZEN, DICT, DICT_ORDER, PATTERN, FOLDER, RANGE, ARRAY, ARRAY_KIND, ARRAY_SHAPE, SCALAR,
            OBJECTS, VALUE,
            COMPUTED, SLICED, BRANCH, CONFIG, COLOUR, LEVEL, POINT, DTYPE, UFUNC, DISPATCH, PARTIAL_OF]
    thing = Thing.of()
    total = sum([
        LAMBDA(1), LAMBDA_DEFAULT(1), LAMBDAS[0](1), PARTIAL(2), PARTIAL_NAMED(1), READER(1),
        READERS[0](1), READERS[1](1),
        BOUND(1), ADD(1), ADDERS[0](1), ADDERS[1](1), ADD_LAMBDA(1), marked(1),
        wrapped(1), UNWRITTEN(1), cached(1),
        thing.method(1), thing.static(1), thing.value, thing.once, thing(1), thing + 1, thing.lift(1),
        Thing.Inner().dig(),
        CONFIG.area(), default(), default_of_name(), helper(1), forms(3), late(), warm(1),
        chilly(1), starry(1), chosen.pick(1),
        sub_alias.under(1), far_alias.far(1), plot.attribute.inside.deep(1), flat.lay(1), fakepack.old(1),
        registry["r"](1),
        Warm(1).heat(1), best(1) if best else 0, STARRED, <<body_constant_of_step:1=>2>>,
    ])
    weights = {"w": Array.of(np.array([float(total) * 0 + seed + len(held)], dtype="float32"))}
    return li.Model.build(net="plot.nets:small", options={}, weights=weights)
''',
    "plot/helper.py": """
from .far_helper import distant
from . import sibling

FACTOR = <<helper_constant:1=>2>>


def warm(x, extra=<<helper_default:0=>1>>):
    return x * FACTOR + distant(x) + sibling.beside(x) + <<helper_body:1=>2>>


def cold(x):
    return x + <<helper_aliased_body:1=>2>>


class Warm:
    SLOPE = <<helper_class_constant:1=>2>>

    def __init__(self, start):
        self.start = start
        self.__dict__.update(start=start)

    def heat(self, x):
        return x + self.SLOPE + <<helper_class_method:1=>2>>
""",
    "plot/far_helper.py": """
from .deep.farther import farther


def distant(x):
    return farther(x) + <<second_helper_body:1=>2>>
""",
    "plot/deep/__init__.py": "DEPTH = <<subpackage_constant:1=>2>>\n",
    "plot/deep/farther.py": """
from ..upward import up
from . import tables


def farther(x):
    return x + up(x) + tables.ROWS[1]["a"] + <<third_helper_body:1=>2>>
""",
    "plot/deep/tables.py": 'ROWS = [0, {"a": <<deep_table:1=>2>>}]\n',
    "plot/upward.py": "def up(x):\n    return x + <<relative_parent:1=>2>>\n",
    "plot/sibling.py": "def beside(x):\n    return x + <<relative_sibling:1=>2>>\n",
    "plot/star.py": """
from .star_below import *

STARRED = <<star_constant:1=>2>>


def starry(x):
    return below(x) + <<star_function:1=>2>>
""",
    "plot/star_below.py": "def below(x):\n    return x + <<star_of_star:1=>2>>\n",
    "plot/chosen.py": "def pick(x):\n    return x + <<from_package_import_module:1=>2>>\n",
    "plot/sub/__init__.py": "from .inner import under\n\nEDGE = <<init_of_imported_package:1=>2>>\n",
    "plot/sub/inner.py": "def under(x):\n    return x + <<reexported_function:1=>2>>\n",
    "plot/dotted/__init__.py": "BEFORE = <<init_above_a_dotted_import:1=>2>>\n",
    "plot/dotted/far.py": "def far(x):\n    return x + <<dotted_import_as:1=>2>>\n",
    "plot/attribute/__init__.py": "from . import inside\n",
    "plot/attribute/inside.py": "def deep(x):\n    return x + <<module_by_attribute:1=>2>>\n",
    "plot/optional.py": "def best(x):\n    return x + <<import_in_try:1=>2>>\n",
    "plot/lazy.py": "def melt():\n    return <<import_in_function:1=>2>>\n",
    "plot/lazy_module.py": "def drip():\n    return <<import_module_in_function:1=>2>>\n",
    "plot/by_string.py": "def named():\n    return <<import_by_string:1=>2>>\n",
    "plot/factory.py": """
registry = {}


def register(fn):
    registry[fn.__name__] = fn
    return fn


@register
def r(x):
    return x + <<registered_function:1=>2>>


def make_reader(start):
    def reader(x):
        return x + start + <<factory_of_module_body:1=>2>>

    return reader
""",
    "plot/nets.py": """
from .layers import layer


def small(*, in_shape, num_outputs):
    return layer(<<net_body:1=>2>>)


def large(*, in_shape, num_outputs):
    return layer(<<other_net_of_the_file:1=>2>>)
""",
    "plot/layers.py": "def layer(x):\n    return x + <<helper_of_net:1=>2>>\n",
    "plot/other_nets.py": "def small(*, in_shape, num_outputs):\n    return <<net_of_input:1=>2>>\n",
    "plot/rewards.py": """
from .scales import scale

WEIGHT = <<constant_of_function_option:1=>2>>


def reward(x):
    return scale(x) * WEIGHT + <<function_option_body:1=>2>>


def other(x):
    return x
""",
    "plot/scales.py": "def scale(x):\n    return x * <<helper_of_function_option:1=>2>>\n",
    "flat.py": "from flatter import lower\n\n\ndef lay(x):\n"
    "    return lower(x) + <<top_level_module:1=>2>>\n",
    "flatter.py": "def lower(x):\n    return x + <<helper_of_top_level_module:1=>2>>\n",
    "unrelated.py": "def other(x):\n    return x\n",
    "site-packages/fakepack/__init__.py": "def old(x):\n    return x\n",
    "site-packages/fakepack-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: fakepack\n"
    "Version: <<package_version:1.0=>1.0.1>>\n",
    "site-packages/fakepack-1.0.dist-info/top_level.txt": "fakepack\n",
}


def places() -> list[str]:
    """Every marked place of every file."""
    return [mark.group(1) for text in FILES.values() for mark in MARK.finditer(text)]


def rendered(change: str | None = None) -> dict[str, str]:
    """The files of the base, or with one place changed."""
    return {path: MARK.sub(lambda mark: mark.group(3 if mark.group(1) == change else 2), text)
            for path, text in FILES.items()}  # fmt: skip


@dataclass
class Garden:
    """The package on disk and on `sys.path`."""

    folder: Path
    written: dict[str, str] = field(default_factory=dict)

    def enter(self) -> None:
        sys.path[:0] = [str(self.folder), str(self.folder / "site-packages")]

    def leave(self) -> None:
        sys.path[:] = [place for place in sys.path if not place.startswith(str(self.folder))]
        self.forget()

    def move(self, folder: Path) -> None:
        self.leave()
        shutil.move(self.folder, folder)
        self.folder = folder
        self.enter()

    def write(self, files: dict[str, str]) -> None:
        """Makes the folder hold these files and no others."""
        for path in self.written.keys() - files.keys():
            (self.folder / path).unlink()
        for path, text in files.items():
            if self.written.get(path) != text:
                (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
                (self.folder / path).write_text(text, newline="")
        self.written = dict(files)

    def forget(self) -> None:
        """Drops every module of the garden, as a new process would."""
        for name in list(sys.modules):
            if name.partition(".")[0] in ("plot", "flat", "flatter", "unrelated", "fakepack"):
                del sys.modules[name]
        importlib.invalidate_caches()

    def grow(self, mode: str, before: str = ""):
        """The step, imported anew as a module or run anew as a notebook cell."""
        self.forget()
        if mode == "module":
            return importlib.import_module("plot.steps").grow
        text = before + (self.folder / "plot/steps.py").read_text(encoding="utf-8-sig")
        name = f"<cell {next(_cells)}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        scope = {"__name__": "__main__"}
        exec(compile(text, name, "exec", dont_inherit=True), scope)
        return scope["grow"]


def a_model(weight=1.0, dtype="float32", shape=(2,), net="plot.other_nets:small", **facts) -> Model:
    array = np.full(shape, weight, dtype=dtype)
    return Model.build(net=net, weights={"w": Array.of(array)}, **{"options": {}, **facts})


def a_dataset(train=b"rows", validation=b"more", test=b"last", schema=None, policy=()) -> Dataset:
    memory = Memory()
    splits = {
        name: {"num_rows": 2, "digest": hashlib.sha256(rows).hexdigest(), "rows": {"blob": memory.put(rows)}}
        for name, rows in (("train", train), ("validation", validation), ("test", test))
        if rows
    }
    manifest = {
        "kind": "dataset",
        "schema": schema or {"labels": ["a", "b"]},
        "policy": list(policy),
        "splits": splits,
    }
    return Dataset(manifest=manifest, blobs=memory)


@dataclass(frozen=True)
class Call:
    """What the step is called with."""

    data: Dataset
    model: Model
    teacher: Model | None
    options: dict


BASE = Call(a_dataset(), a_model(), None, {"reward": "plot.rewards:reward"})


def with_options(**options) -> Call:
    return replace(BASE, options={**BASE.options, **options})


class Bench:
    """A garden, a store and what a call in them did."""

    def __init__(self, folder: Path, mode: str) -> None:
        self.garden = Garden(folder / "src")
        self.garden.enter()
        self.garden.write(rendered())
        self.mode = mode
        self.num_grown = 0
        self.context = opened(folder / ".lichen", sinks=(self._note,))
        self.context.__enter__()

    def _note(self, event: dict) -> None:
        self.num_grown += event["kind"] == "note" and event["text"] == "grown"

    def close(self) -> None:
        self.context.__exit__(None, None, None)
        self.garden.leave()
        step.REGISTERED.pop("plot.steps:grow", None)
        step.REGISTERED.pop("__main__:grow", None)

    def call(self, call: Call = BASE, **how) -> tuple[str, bool]:
        """The key, and whether the step was executed."""
        before = self.num_grown
        grow = self.garden.grow(self.mode, **how)
        value = grow(call.data, call.model, call.teacher, **call.options)
        return value.made.call.key, self.num_grown > before
