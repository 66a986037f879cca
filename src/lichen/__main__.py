"""__main__: `python -m lichen` is `lichen`."""

from lichen.cli.main import command

command()
