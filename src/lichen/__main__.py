"""__main__: `python -m lichen` is `lichen`."""

import sys

from lichen.cli.main import main

sys.exit(main())
