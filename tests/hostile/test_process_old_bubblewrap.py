"""With a bubblewrap that cannot forbid further user namespaces, the filter of system calls still does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.sandboxes import ran

from pipeline.embedded.sandbox import installed, launch
from pipeline.embedded.sandbox.probe import probe
from pipeline.embedded.sandbox.system_calls import filter_of_calls
from pipeline.settings import Isolation

NESTS = """
import os, subprocess
def main(params):
    done = subprocess.run(["/usr/bin/unshare", "--user", "--map-root-user", "true"], capture_output=True, text=True)
    return {"code": done.returncode, "said": done.stderr}
"""


def test_the_option_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho '    --seccomp FD   Load rules'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    installed.knows.cache_clear()
    try:
        assert installed.knows("--seccomp")
        assert not installed.knows(installed.NO_FURTHER_USERS)
    finally:
        installed.knows.cache_clear()


@pytest.mark.skipif(
    probe().isolation is not Isolation.NAMESPACES, reason="bubblewrap does not work here, so there are no namespaces"
)
@pytest.mark.skipif(not filter_of_calls(os.uname().machine), reason="there is no filter of calls for this machine")
def test_an_old_bubblewrap_s_containers_make_no_namespaces_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "knows", lambda option: False)
    found = ran(NESTS)
    assert found.result["code"] != 0, found
    assert "not permitted" in found.result["said"]
