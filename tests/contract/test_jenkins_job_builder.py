"""A second witness: jenkins-job-builder, which knows Jenkins' XML from elsewhere, makes the same job."""

from __future__ import annotations

import os
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from support.runs import ROOT

VERSION = "6.5.0"
GOLDEN = ROOT / "tests" / "golden" / "jenkins"
# what it writes besides, each with the value that Jenkins takes where nothing is written
DEFAULTS = {
    "hudson.plugins.git.UserRemoteConfig": {"name": "origin", "refspec": "+refs/heads/*:refs/remotes/origin/*"},
    "scm": {
        "disableSubmodules": "false",
        "recursiveSubmodules": "false",
        "remotePoll": "false",
        "gitTool": "Default",
        "submoduleCfg": "",
        "reference": "",
        "gitConfigName": "",
        "gitConfigEmail": "",
    },
    # CpsScmFlowDefinition always runs in the sandbox and has no such field
    "definition": {"sandbox": "false"},
}
SIGNED = "<!-- Managed by Jenkins Job Builder -->"


def job_builder() -> Path:
    """The program, installed once into the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ml-submission-pipeline"
    home = cache / f"jenkins-job-builder-{VERSION}"
    program = home / "bin" / "jenkins-jobs"
    if not program.exists():
        uv = [str(ROOT / ".venv" / "bin" / "uv"), "--quiet"]
        # its own loader of extensions needs pkg_resources, which setuptools 82 has no more
        wanted = [f"jenkins-job-builder=={VERSION}", "setuptools<81"]
        for command in (
            ["venv", "--clear", str(home)],
            ["pip", "install", "--python", str(home / "bin/python"), *wanted],
        ):
            done = subprocess.run([*uv, *command], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"jenkins-job-builder {VERSION} cannot be installed: {done.stderr.strip()[-200:]}")
    return program


def canonical(element: ET.Element) -> tuple[object, ...]:
    """Without what Jenkins does not read: order of fields, `plugin=`, fields with their defaults, white space."""
    defaults = DEFAULTS.get(element.tag, {})
    children = [one for one in element if defaults.get(one.tag, ()) != (one.text or "").strip()]
    attributes = {name: value for name, value in element.attrib.items() if name != "plugin"}
    text = (element.text or "").replace(SIGNED, "").strip()
    return element.tag, sorted(attributes.items()), text, sorted(map(canonical, children), key=repr)


def test_it_makes_the_same_job(tmp_path: Path) -> None:
    ours = ET.parse(GOLDEN / "job.xml").getroot()
    text = (GOLDEN / "job.yaml").read_text().replace("DESCRIPTION", f"'{ours.findtext('description')}'")
    (tmp_path / "job.yaml").write_text(text)
    done = subprocess.run(
        [job_builder(), "test", "job.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert canonical(ET.fromstring(done.stdout)) == canonical(ours)
