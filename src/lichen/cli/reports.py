"""reports: `report`: a value's page or model card, from what the store recorded."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from lichen.cli.main import Answer, Verb, argument
from lichen.cli.records import VALUE, here


def report(given: Namespace) -> Answer:
    """Writes the page, or the model card, and opens it where asked."""
    from lichen.core import find
    from lichen.core.session import Session

    store = here()
    value = store.resolve(given.value)
    room, suffix = ("card", "md") if given.card else ("page", "html")
    path = Path(given.out) if given.out else store.folder / "reports" / f"{value.id}.{suffix}"
    session = Session(store=store)
    if given.card:
        find.load(f"lichen.report.{room}:write")(value, path, session, license=given.license)
    else:
        find.load(f"lichen.report.{room}:write")(value, path, session)
    if given.open == "yes":
        import webbrowser

        webbrowser.open(path.absolute().as_uri())
    return Answer(str(path), {"path": str(path), "digest": value.digest, "size_bytes": path.stat().st_size})


VERBS = {
    "report": Verb("write a value's report as one HTML file, or its model card", report, (
        VALUE,
        argument("--out", metavar="FILE", help="where to write it; otherwise into the store's reports/"),
        argument("--card", action="store_true", help="the model card, as Markdown"),
        argument("--license", help="of the model card, such as apache-2.0 (default unknown)"),
        argument("--open", choices=["yes", "no"], default="no", help="show it in the browser (default no)"),
    )),
}  # fmt: skip
