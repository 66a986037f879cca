"""fuzzer: a fresh process whose children read changed inputs; one with threads must not be forked.

`python fuzzer.py FOLDER` says that it is ready, then reads orders `[kind, first, last, until]` as JSON lines
and answers each with what was found.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from fire import hostile, kinds


def serve(folder: Path) -> None:
    known = kinds.kinds(folder)
    os.chdir(folder / "house" / "room")
    print("ready", flush=True)
    for line in sys.stdin:
        name, first, last, until = json.loads(line)
        found = hostile.run(known[name], range(first, last), until=until)
        print(json.dumps(asdict(found)), flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
