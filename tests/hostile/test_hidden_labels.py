"""A submission that searches all that its process can read, in training and in prediction, finds no test label."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from support.hostile import submit_model
from support.runs import Finished

from pipeline.data import hidden, mnist

NEEDLE_ROWS = 48
# Needles are kept inverted, so that the search does not find its own code. Names are looked at everywhere; contents not
# in the machine's own software, where the pipeline writes nothing and which takes minutes to read.
SEARCH = """
import os, stat, sys
from torch import nn

NEEDLES = [bytes(255 - one for one in bytes.fromhex(text)) for text in {needles!r}]
LARGEST = 16 * 2**20
SOFTWARE = ("/usr", sys.base_prefix)
ENDLESS = ("kcore", "kmsg", "kpagecount", "kpageflags", "kpagecgroup")
OF_A_PROCESS = ("environ", "cmdline", "maps", "mountinfo")

def holds_a_needle(path):
    if path.startswith(SOFTWARE) or not stat.S_ISREG(os.lstat(path).st_mode):
        return False
    with open(path, "rb") as file:
        content = file.read(LARGEST)
    return any(needle in content for needle in NEEDLES)

def files():
    for folder, folders, names in os.walk("/", onerror=lambda _: None):
        if folder == "/" and "sys" in folders:
            folders.remove("sys")
        process = folder.startswith("/proc/") and folder[6:].isdigit()
        if process:
            folders.clear()
        yield from (os.path.join(folder, one) for one in names if one in OF_A_PROCESS or not process)

def search():
    looked, refused, found = 0, 0, []
    for path in files():
        if os.path.basename(path) in ENDLESS:
            continue
        try:
            if "t10k" in path or holds_a_needle(path):
                found.append(path)
            looked += 1
        except OSError:
            refused += 1
    print(f"searched looked={{looked}} refused={{refused}} found={{found}}", flush=True)

search()

def build_model():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
"""


def needle(labels: mnist.Bytes) -> bytes:
    return labels[:NEEDLE_ROWS].tobytes()


def inverted(content: bytes) -> str:
    return bytes(255 - one for one in content).hex()


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """With the hidden labels known beforehand: the secret is the test's."""
    place = tmp_path_factory.mktemp("search")
    secret = place / "secret"
    secret.write_bytes(b"known to this test alone, 32 long")
    files = mnist.fetch()
    images, labels = mnist.read_images(files.test_images), mnist.read_labels(files.test_labels)
    _, changed = hidden.hidden_test(images, labels, secret.read_bytes())
    wide = [needle(one).replace(b"", b"\0" * 7)[7:-7] for one in (labels, changed)]
    needles = [inverted(one) for one in (needle(labels), needle(changed), *wide)]
    planted = f"\nPLANTED = {b'planted in plain sight'!r}\n"
    needles.append(inverted(b"planted in plain sight"))
    return submit_model(place, SEARCH.format(needles=needles) + planted, "--set", "workers=1", secret_file=secret)


def findings(text: str) -> list[tuple[int, list[str]]]:
    matches = re.findall(r"searched looked=(\d+) refused=\d+ found=(\[.*?\])", text)
    return [(int(looked), json.loads(found.replace("'", '"'))) for looked, found in matches]


def only_itself(found: list[tuple[int, list[str]]]) -> bool:
    """The search works, since it finds what was planted in its own file; it finds nothing else."""
    return all(looked > 1000 and {Path(one).name for one in paths} == {"model.py"} for looked, paths in found)


def test_training_can_read_no_test_label(searched: Finished) -> None:
    assert searched.code == 0, searched.output
    found = findings((searched.folder / "logs" / "worker-0.log").read_text())
    assert found
    assert only_itself(found), found


def test_prediction_can_read_no_test_label(searched: Finished) -> None:
    logs = sorted((searched.folder / "private" / "logs").glob("predict-*-hidden.log"))
    found = [one for log in logs for one in findings(log.read_text())]

    assert len(found) == len(logs) == 2
    assert only_itself(found), found


def test_the_labels_that_were_searched_for_are_those_of_the_run(searched: Finished) -> None:
    labels = np.load(searched.folder / "private" / "labels-hidden.npy")
    files = mnist.fetch()
    tests = mnist.read_images(files.test_images), mnist.read_labels(files.test_labels)
    _, changed = hidden.hidden_test(*tests, b"known to this test alone, 32 long")
    assert labels.tobytes()[:NEEDLE_ROWS] == needle(changed)
