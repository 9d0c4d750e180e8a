"""What has left a process tree is still found by the session that the tree's root made."""

from __future__ import annotations

import subprocess
import sys

import pytest
from frame.processes import Processes
from support.embedded import wait_for

from pipeline.embedded.sandbox.tree import descendants, kill, session

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
ORPHAN = "import os, time\nif os.fork() == 0:\n    print(os.getpid(), flush=True)\n    time.sleep(600)\n"


def test_an_orphan_is_found_by_its_session(processes: Processes) -> None:
    process = processes.start([sys.executable, "-c", ORPHAN], stdout=subprocess.PIPE)
    assert process.stdout is not None
    orphan = int(process.stdout.readline())
    process.wait(60)
    assert descendants(process.pid) == set()
    assert session(process.pid) == {orphan}
    kill(session(process.pid))
    wait_for(lambda: session(process.pid) == set(), "the orphan has ended")
