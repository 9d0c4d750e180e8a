"""`python -m pipeline` and the `pipeline` command."""

from __future__ import annotations

import gc
import signal
import sys


def main() -> None:
    arguments = sys.argv[1:]
    interrupted = signal.getsignal(signal.SIGINT)
    if interrupted is signal.default_int_handler:
        # Ctrl-C among imports: nothing has begun, and Python would show a traceback, or swallow it in a callback
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # nothing of what is imported goes again: not to look for what does saves a fifth of a command's beginning
    gc.disable()
    from pipeline.cli.app import call, needed_for

    app = needed_for(arguments)
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGINT, interrupted)
    sys.exit(call(arguments, app))


if __name__ == "__main__":
    main()
