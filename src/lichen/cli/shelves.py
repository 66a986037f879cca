"""shelves: what is there to use: `steps`, `data`, and `completion` for the shell."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from lichen.cli.main import Answer, Verb, argument, verbs
from lichen.cli.terminal import table
from lichen.core import find, signature
from lichen.core.dataset import Dataset
from lichen.core.errors import UsageError
from lichen.core.schema import Option, Signature


def steps(given: Namespace) -> Answer:
    """Steps by stage with their captions, or everything about one; nets, tasks and the recipe schema too."""
    if given.schema:
        from lichen.core import jsonschema

        schema = jsonschema.recipe()
        return Answer(jsonschema.text(schema), schema)
    if given.address:
        read = signature.of("steps", given.address)
        return Answer(_page(read), _facts(read))
    shelves = ("steps", "nets", "tasks", "studies") if given.all else ("steps",)
    rows = [
        (shelf, address, find.caption(path))
        for shelf in shelves
        for address, path in find.shelf(shelf).items()
    ]
    rows += [
        ("nets", name, "")
        for path in find.shelf("nets").values()
        for name in find.variants(path)
        if given.all
    ]
    text = table([("step" if not given.all else "name", "what it does"), *((row[1], row[2]) for row in rows)])
    return Answer(
        text, [{"shelf": shelf, "address": address, "caption": caption} for shelf, address, caption in rows]
    )


def _page(read: Signature) -> str:
    takes = ", ".join(f"{taken.name}: {' or '.join(taken.kinds)}" for taken in read.values) or "nothing"
    gives = " or ".join(read.returns) or ", ".join(f"{name}: {kind}" for name, kind in read.fields.items())
    lines = [
        f"{read.address}: {read.caption}",
        "",
        f"takes {takes}; gives {gives}",
        f"opens {read.splits if isinstance(read.splits, str) else ', '.join(read.splits) or 'no split'}",
    ]
    rows = [
        ("option", "default", "takes"),
        *((name, _default(option), option.wanted()) for name, option in read.options.items()),
    ]
    return "\n".join([*lines, "", table(rows), "", read.doc])


def _default(option: Option) -> str:
    return "required" if option.is_required else "-" if option.default is None else str(option.default)


def _facts(read: Signature) -> dict[str, Any]:
    return {
        "address": read.address,
        "caption": read.caption,
        "doc": read.doc,
        "values": {taken.name: list(taken.kinds) for taken in read.values},
        "returns": list(read.returns) or dict(read.fields),
        "options": {
            name: {"default": option.default, "takes": option.wanted()}
            for name, option in read.options.items()
        },
        "removal": read.removal(),
    }


def data(given: Namespace) -> Answer:
    """What a source holds: splits, labels, sizes, rows twice; and a sheet of its pictures."""
    from lichen.data import survey

    if given.recipe and not given.preview:
        raise UsageError("--recipe says how a preview varies its pictures", hint="--preview sheet.png")
    found, dataset = survey.survey(given.source, image=given.image, text=given.text, label=given.label,
                                   features=given.features and given.features.split(","))  # fmt: skip
    said = survey.as_json(found)
    text = _surveyed(said)
    if given.preview and (said["lengths"] or said["cells"]):
        what = "texts" if said["lengths"] else "cells"
        raise UsageError(f"a preview draws pictures; these rows are {what}", hint="leave --preview out")
    if given.preview:
        from lichen.report import sheet

        shown = sheet.write(_varied(dataset, given) if given.recipe else dataset, Path(given.preview))
        said["preview"] = given.preview
        text += f"\n\n{shown} pictures in {given.preview}"
    return Answer(text, said)


def _varied(dataset: Dataset, given: Namespace) -> Dataset:
    """The data with the augmentation policy of a recipe."""
    from lichen.core import flow, recipefile
    from lichen.data import augment

    life = recipefile.read(given.recipe)
    for line, read in zip(life.lines, flow.check(life), strict=False):
        if line.step == "augment.policy":
            options = read.check(line.options)
            dataset = dataset.with_policy(augment.policy_of(options["ops"], options["favour"]))
    return dataset


def _surveyed(said: dict[str, Any]) -> str:
    places = {"folder": "", "shared": " (by $LICHEN_DATA)", "built-in": " (built in)", "hub": " (of the hub)"}
    carved = {name: " carved" for name in said["splits"] if name not in said["given"]}
    rows = [
        ("where", said["path"] + places[said["kind"]]),
        ("reader", said["reader"]),
        (
            "columns",
            ", ".join(f"{role}: {name}" for role, name in said["columns"].items() if role != "features"),
        ),
        (
            "rows",
            ", ".join(f"{name} {count}{carved.get(name, '')}" for name, count in said["splits"].items()),
        ),
        _contents(said),
    ]
    doubles = [
        f"{count} {name} rows stand in a split that judges them"
        for name, count in said["twice"].items()
        if count
    ]
    doubles += [f"{said['within']} train rows stand twice"] if said["within"] else []
    doubles += [f"{said['disagreeing']} {_kind(said)} have two labels"] if said["disagreeing"] else []
    rows.append(("twice", "; ".join(doubles) or "none"))
    if said["refused"]:
        rows.append(("refused", f"{said['refused']}: prepare.load does not take it so"))
    shown = [table(rows), *([_cell_table(said)] if said["cells"] else []),
             *([_label_table(said)] if said["labels"] else [])]  # fmt: skip
    return "\n\n".join(shown)


def _kind(said: dict[str, Any]) -> str:
    return "texts" if said["lengths"] else "rows" if said["cells"] else "pictures"


def _contents(said: dict[str, Any]) -> tuple[str, str]:
    """What the rows are, and how large."""
    if said["cells"]:
        return "cells", f"{len(said['cells'])} columns"
    if said["lengths"]:
        shortest, middle, longest = said["lengths"]
        return "texts", f"of {shortest} to {longest} bytes, the middle one {middle}"
    sizes = [f"{height}x{width}" for height, width in said["sizes"]]
    colour = "grey" if said["channels"] == 1 else "colour"
    if len(sizes) == 1:
        return "pictures", f"{colour} {sizes[0]}"
    return "pictures", f"{colour} from {sizes[0]} to {sizes[-1]}, the middle one {sizes[1]}"


def _cell_table(said: dict[str, Any]) -> str:
    """What each column of a table holds."""
    rows = [
        (one["name"], one["kind"], str(one["different"]), str(one["empty"]),
         "tells every row apart" if one["tells_rows_apart"] else "")
        for one in said["cells"]
    ]  # fmt: skip
    return table([("column", "holds", "different", "empty", ""), *rows], right=(2, 3))


def _label_table(said: dict[str, Any]) -> str:
    """Rows per label and split; of many labels the most and the least frequent."""
    splits = list(said["splits"])
    counts = [(label, *(str(entry[split]) for split in splits)) for label, entry in said["labels"].items()]
    if len(counts) > MOST_LABELS:
        counts.sort(key=lambda row: -int(row[1]))
        half = MOST_LABELS // 2
        gap = (f"... {len(counts) - 2 * half} more", *("" for _ in splits))
        counts = [*counts[:half], gap, *counts[-half:]]
    return table([("label", *splits), *counts], right=range(1, 1 + len(splits)))


def completion(given: Namespace) -> Answer:
    """A completion script for bash or zsh; `eval "$(lichen completion)"`."""
    words = " ".join(verbs())
    addresses = " ".join(find.shelf("steps"))
    studies = "|".join(find.shelf("studies"))
    script = f"""_lichen() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}"
  case "${{COMP_WORDS[1]}}" in
    run|why|data|new) COMPREPLY=($(compgen -f -X '!*.y*ml' -- "$word") $(compgen -d -- "$word"));;
    steps) COMPREPLY=($(compgen -W "{addresses}" -- "$word"));;
    show|log|evaluate|predict|export|promote|rollback|report|{studies})
      local names="$(lichen models --json 2>/dev/null | sed -n 's/.*"name": "\\(.*\\)".*/\\1/p')"
      COMPREPLY=($(compgen -W "$names" -- "$word"));;
    *) COMPREPLY=($(compgen -W "{words}" -- "$word"));;
  esac
}}
{"autoload -U +X bashcompinit && bashcompinit" if given.shell == "zsh" else ""}
complete -F _lichen lichen"""
    return Answer(script, {"script": script})


MOST_LABELS = 30
VERBS = {
    "steps": Verb("what a life can be made of, or all about one step", steps, (
        argument("address", nargs="?", help="a step, such as compress.prune"),
        argument("--all", action="store_true", help="nets, tasks and studies too"),
        argument("--schema", action="store_true", help="the JSON schema of recipes, for editors"),
    )),
    "data": Verb("what a source of data holds, and a sheet of its pictures", data, (
        argument("source", help="a folder, file, name under $LICHEN_DATA, or hf:org/name"),
        argument("--image", help="the column of pictures, if it is not found"),
        argument("--text", help="the column of texts, if it is not found"),
        argument("--label", help="the column of labels, if it is not found"),
        argument("--features", metavar="A,B", help="the columns of a table's cells; '*,-id': all but `id`"),
        argument("--preview", metavar="FILE", help="draw pictures with their labels as .png or .html"),
        argument("--recipe", help="show, too, how this recipe's augment.policy varies them"),
    )),
    "completion": Verb("a completion script for the shell", completion, (
        argument("shell", nargs="?", default="bash", choices=["bash", "zsh"], help="which shell"),
    )),
}  # fmt: skip
