"""A submission that scans while it trains finds its run's parameter server and forwarder, and nothing else."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from support.hostile import COURSE
from support.runs import submit
from support.scan import CODE

from pipeline.embedded.sandbox.probe import probe
from pipeline.settings import Isolation

MARK = "SCANNED "
METADATA = "169.254.169.254"
OWN_PORT = 8080
"""On which an image serves OpenWhisk itself."""
RESOLVER = "127.0.0.11:53"
"""Docker's, in the container's own namespace; that it knows no names of elsewhere is asked too."""
MODEL = """
import gc, json
from urllib.parse import urlsplit
from pathlib import Path
from torch import nn
import scanner

scanned = False

def build_model():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

def augment(images):
    global scanned
    if not scanned:
        scanned = True
        from runner.parameters import TrainParameters
        told = json.loads((Path(__file__).parent / "told.json").read_text())
        mine = next(one for one in gc.get_objects() if isinstance(one, TrainParameters))
        own = [urlsplit(url).netloc for url in (mine.apihost, mine.dataset_url)]
        ports = told["ports"] + [int(one.rpartition(":")[2]) for one in own]
        found = scanner.scan(told["hosts"] + [one.rpartition(":")[0] for one in own], ports, told["names"])
        print("SCANNED " + json.dumps({"own": own, **found}))
    return images
"""
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can set the firewall's rules")


@pytest.fixture
def listening() -> Iterator[int]:
    """A port on which a server of this machine answers on all of its addresses."""
    with socket.create_server(("", 0)) as listener:
        listener.settimeout(0.2)
        ended = threading.Event()

        def answer() -> None:
            while not ended.is_set():
                try:
                    listener.accept()[0].close()
                except TimeoutError:
                    continue

        thread = threading.Thread(target=answer)
        thread.start()
        yield listener.getsockname()[1]
        ended.set()
        thread.join()


def of_this_machine() -> list[str]:
    return [one.address for each in psutil.net_if_addrs().values() for one in each if one.family is socket.AF_INET]


def test_a_submission_that_scans_finds_what_is_its_own(sandbox: str, listening: int, tmp_path: Path) -> None:
    if sandbox == "process" and probe().isolation is not Isolation.NAMESPACES:
        pytest.skip("bubblewrap does not work here, so there are no namespaces")
    source, course = tmp_path / "submission", tmp_path / "course.toml"
    source.mkdir()
    (source / "model.py").write_text(MODEL)
    (source / "scanner.py").write_text(CODE)
    (source / "submission.toml").write_text('kind = "train"\n')
    told = {"hosts": [METADATA, *of_this_machine()], "ports": [OWN_PORT, listening, 22, 53, 80, 111, 2375, 3233, 9000]}
    (source / "told.json").write_text(json.dumps(told | {"names": ["example.com", "host.docker.internal"]}))
    course.write_text(COURSE.format(secret="", validation_rows=0))

    done = submit(source, tmp_path / "run", "--sandbox", sandbox, course=course)

    assert done.code == 0, done.output
    for number in (0, 1):
        log = (done.folder / "logs" / f"worker-{number}.log").read_text()
        scan = json.loads(next(line for line in log.splitlines() if MARK in line).partition(MARK)[2])
        hosts = {urlsplit(f"//{where}").hostname for where in scan["found"]}
        theirs = {where for where in scan["found"] if not where.endswith(f":{OWN_PORT}")}
        assert theirs - {RESOLVER} == set(scan["own"]), scan
        assert str(listening) not in {where.rpartition(":")[2] for where in scan["found"]}
        assert METADATA not in hosts and len(scan["hosts"]) > 3
