"""``python -m heldout`` is ``heldout``."""

from heldout.cli.main import main

main()
