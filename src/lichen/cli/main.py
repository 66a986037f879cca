"""main: the door: finds the verb, prints its answer or its error, and exits with the right code."""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from lichen.core import peers
from lichen.core.errors import LichenError, StepError, nearest

FAMILIES = {
    "lives": ("live a life", "run why new"),
    "records": ("read the record", "show log models"),
    "reports": ("show it", "report"),
    "values": ("use what it made", "evaluate predict export"),
    "talking": ("talk with it", "chat"),
    "studies": ("study lives", ""),
    "names": ("name values", "promote rollback"),
    "shelves": ("see what there is", "steps data completion"),
    "stores": ("look after the store", "store doctor"),
}
"""Files of verbs, what they are for and their words (a study's is its file's), as `--help` shows them."""


@dataclass(slots=True)
class Answer:
    """What a verb says: a text for people, JSON for programs, and an exit code."""

    text: str = ""
    data: Any = None
    code: int = 0


@dataclass(frozen=True, slots=True)
class Verb:
    """One word of the command line.

    Args:
        summary: one line for `lichen --help`.
        run: takes the parsed arguments and answers.
        arguments: (flags, keywords) of `argparse.add_argument`.
    """

    summary: str
    run: Callable[[argparse.Namespace], Answer]
    arguments: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = field(default=())


def argument(*flags: str, **keywords: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """One argument of a verb, as `argparse` takes it."""
    return flags, keywords


def verbs(word: str | None = None) -> dict[str, Verb]:
    """Verbs by their words: of the family that has a word, or of all where none has it."""
    found: dict[str, Verb] = {}
    families = [family for family, (_, words) in FAMILIES.items() if word in words.split()]
    for family in families or FAMILIES:
        found.update(_verbs_of(family))
    return found


def _verbs_of(family: str) -> dict[str, Verb]:
    return import_module(f"lichen.cli.{family}").VERBS


class _Parser(argparse.ArgumentParser):
    """Reports a wrong command line in the form of every other error."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords, allow_abbrev=False, formatter_class=_Help)

    def error(self, message: str) -> Any:
        found = re.fullmatch(
            r"argument (\S+): invalid choice: '(.*)' \(choose from (.*)\)", message, re.DOTALL
        )
        if message.startswith("the following arguments are required: "):
            missing = message.partition(": ")[2].removesuffix(", key=value")
            raise _Usage(f"`{self.prog}` needs {missing}", hint=f"{self.prog} --help")
        if not found:
            raise _Usage(message.removeprefix("argument "), hint=f"{self.prog} --help")
        what, word, known = found[1], found[2], [name.strip(" '") for name in found[3].split(",")]
        if what == "VERB":
            raise _Usage(f"unknown verb `{word}`", hint=_verb_meant(word, known) or f"{self.prog} --help")
        raise _Usage(f"{what} must be one of {', '.join(known)}, not `{word}`", hint=_close(word, known))


class _Top(_Parser):
    """The whole command line; its help shows verbs by family."""

    def format_help(self) -> str:
        found = {title: _verbs_of(family) for family, (title, _) in FAMILIES.items()}
        lines = [
            f"{title}\n"
            + "".join(f"{_column(word)} {verb.summary.rstrip('.')}\n" for word, verb in family.items())
            for title, family in found.items()
        ]
        return (
            "lichen records the life of a model: run, replay, compare, ship.\n\nusage: lichen VERB ...\n\n"
            + "\n".join(lines)
            + "\nEvery verb takes --json, --store FOLDER and --help.\n"
            + "Start here: lichen new FOLDER; lichen run recipe.yaml\n"
        )


def _column(word: str) -> str:
    """A verb in its column; what follows one that is too long stands in the next line."""
    return f"  {word:11s}" if len(word) <= 11 else f"  {word}\n  {'':11s}"


class _Help(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=24, width=110)


def _verb_meant(word: str, known: Iterable[str]) -> str | None:
    """What a word that is no verb may be: a verb misspelt, or a step, which stands in recipes."""
    from lichen.core import find

    steps = [name for name in find.shelf("steps") if word in (name, name.rpartition(".")[2])]
    return f"`{steps[0]}` is a step of recipes: lichen steps {steps[0]}" if steps else nearest(word, known)


def _close(word: str, known: Iterable[str]) -> str | None:
    """A hint at the nearest word, and none where nothing is near: the message lists them all."""
    hint = nearest(word, known)
    return hint if hint and hint.startswith("did") else None


class _Usage(LichenError):
    exit_code = 2


def parser(word: str | None = None) -> argparse.ArgumentParser:
    """The whole command line; where a word is a verb, of its family alone: less to import."""
    from lichen import __version__

    top = _Top(prog="lichen")
    top.add_argument("--version", action="version", version=f"lichen {__version__}")
    top.add_argument("--json", action="store_true")
    top.add_argument("--store")
    words = top.add_subparsers(dest="verb", metavar="VERB", parser_class=_Parser)
    for name, verb in verbs(word).items():
        one = words.add_parser(name, help=verb.summary, description=verb.summary)
        for flags, keywords in verb.arguments:
            one.add_argument(*flags, **keywords)
        one.add_argument("--json", action="store_true", help="answer in JSON", default=argparse.SUPPRESS)
        one.add_argument("--store", metavar="FOLDER", help="the store, instead of the nearest .lichen",
                         default=argparse.SUPPRESS)  # fmt: skip
        one.set_defaults(answer=verb.run)
    return top


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of one command line; `key=value` may also follow flags.

    Raises:
        UsageError: something in it has no meaning; hints at what may have been meant.
    """
    given, rest = parser(_first_word(argv)).parse_known_args(argv)
    takes_changes = hasattr(given, "changes")
    if takes_changes and not any(word.startswith("-") for word in rest):
        given.changes += rest
    elif rest:
        raise _Usage(f"`{rest[0]}` has no meaning here", hint=_meant(rest[0], given, takes_changes))
    return given


def _first_word(argv: Sequence[str]) -> str | None:
    """The word that may be the verb: the first that is neither a flag nor the place after `--store`."""
    before = ["", *argv]
    plain = (word for last, word in zip(before, argv, strict=False) if last != "--store" and word[:1] != "-")
    return next(plain, None)


def _meant(word: str, given: argparse.Namespace, takes_changes: bool) -> str:
    name = word.lstrip("-").partition("=")[0]
    flags = (
        [] if given.verb is None else [flag for flags, _ in verbs()[given.verb].arguments for flag in flags]
    )
    flags += ["--json", "--store", "--help"]
    if word.startswith("-") and (hint := _close(f"--{name}", flags)):
        return hint
    if word.startswith("-") and takes_changes:
        return f"options of steps are given as step.{name.replace('-', '_')}=value, such as train.epochs=20"
    return f"lichen {given.verb or ''} --help".replace("  ", " ")


def command() -> None:
    """The process `lichen`: one command line, and its exit code."""
    code = main()
    if "torch" not in sys.modules:
        # What lives until the end need not be looked through then, a tenth of a short command. Bindings that
        # come with torch count what was not taken down, and would complain.
        gc.freeze()
    sys.exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    wants_json = "--json" in argv
    store = os.environ.get("LICHEN_STORE")
    try:
        given = parse(argv)
        if given.verb is None:
            parser().print_help()
            return 0
        peers.require_life(given.verb)
        if given.store:
            os.environ["LICHEN_STORE"] = given.store
        answer = given.answer(given)
        _print(json.dumps(answer.data, indent=1, default=str) if given.json else answer.text)
        return answer.code
    except LichenError as error:
        return _fail(error, wants_json)
    except SystemExit as done:  # of --help and --version
        return int(done.code or 0)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted: finished steps are kept, the same command goes on from here\n")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        from pathlib import Path

        from lichen.core.disk import WORDS, disk_error

        if error.errno not in WORDS or not isinstance(error.filename, str):
            return _bug(error, wants_json)
        return _fail(disk_error(error, Path(error.filename)), wants_json)
    except Exception as error:  # noqa: BLE001 - the last line of the command line: our bug, said as one
        return _bug(error, wants_json)
    finally:  # what `--store` set holds for this command alone
        if store is None:
            os.environ.pop("LICHEN_STORE", None)
        else:
            os.environ["LICHEN_STORE"] = store


def _print(text: str) -> None:
    if text:
        sys.stdout.write(text.rstrip("\n") + "\n")
        sys.stdout.flush()


def _fail(error: LichenError, wants_json: bool) -> int:
    if os.environ.get("LICHEN_DEBUG"):
        import traceback

        traceback.print_exception(error)
    elif isinstance(error, StepError) and error.__cause__ and not error.hint:
        error.hint = "LICHEN_DEBUG=1 shows the traceback"
    if wants_json:
        _print(json.dumps({"error": {"message": error.message, "where": error.where, "hint": error.hint,
                                     "exit_code": error.exit_code}}))  # fmt: skip
    else:
        which = f"rank {os.environ['RANK']}: " if peers.follows() else ""
        sys.stderr.write(f"{which}error: {error}\n")
    return error.exit_code


def _bug(error: Exception, wants_json: bool) -> int:
    import traceback

    last = traceback.extract_tb(error.__traceback__)[-1]
    bug = LichenError(
        f"a bug in lichen or in a step: {type(error).__name__}: {error}",
        where=f"{last.filename}:{last.lineno}",
        hint="LICHEN_DEBUG=1 shows the traceback",
    )
    bug.__cause__ = error
    return _fail(bug, wants_json)


if __name__ == "__main__":
    sys.exit(main())
