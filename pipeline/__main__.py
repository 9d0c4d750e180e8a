"""`python -m pipeline` and the `pipeline` command."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    arguments = sys.argv[1:]
    # nothing of what is imported goes again: not to look for what does saves a fifth of a command's beginning
    gc.disable()
    from pipeline.cli.app import call, needed_for

    app = needed_for(arguments)
    gc.freeze()
    gc.enable()
    sys.exit(call(arguments, app))


if __name__ == "__main__":
    main()
