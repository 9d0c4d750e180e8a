"""A worker of ours as a process: `python -m benchmarks.our_worker PARAMETERS OUT`."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from runner.worker import main as train


def main() -> None:
    result = train(json.loads(sys.argv[1]))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told = result | {"cpu_s": time.process_time(), "peak_mb": peak_mb}
    Path(sys.argv[2]).write_text(json.dumps(told))


if __name__ == "__main__":
    main()
