"""`python -m pipeline` and the `pipeline` command."""

from __future__ import annotations

import sys

from pipeline.cli.app import call


def main() -> None:
    sys.exit(call(sys.argv[1:]))


if __name__ == "__main__":
    main()
