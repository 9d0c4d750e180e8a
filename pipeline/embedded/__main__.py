"""python -m pipeline.embedded --state DIR: the embedded servers, with the settings in DIR/settings.json.

Settings come from a file because arguments are seen by every user of a machine. `pipeline.embedded.client` starts it.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path

from pydantic import ValidationError

from pipeline.embedded.reaping import TakenError, holding
from pipeline.embedded.settings import EmbeddedSettings
from pipeline.embedded.state import State
from pipeline.embedded.supervisor import supervise
from pipeline.errors import PipelineError

log = logging.getLogger("pipeline.embedded")


def main() -> int:
    arguments = argparse.ArgumentParser(prog="python -m pipeline.embedded")
    arguments.add_argument("--state", type=Path, required=True, help="folder with settings.json, 0700")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    state = State(arguments.parse_args().state.resolve())
    try:
        settings = EmbeddedSettings.model_validate_json(state.settings_file.read_bytes())
        with holding(state, wait_s=0):
            supervise(state, settings)
    except TakenError:
        return State.TAKEN
    except (OSError, ValidationError) as error:
        log.error("%s: %s", state.settings_file, error)
        return 3
    except PipelineError as error:
        log.error("%s", error.message)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
