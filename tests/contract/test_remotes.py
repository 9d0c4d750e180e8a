"""Which repository of a forge is whose: what staff may write, what is refused, and that it is what is fetched."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.forges import NOTHING, URL, Site, gitea
from support.submissions import submitted
from typer.testing import CliRunner

from pipeline.backends.ci.local import LocalBuilds
from pipeline.cli.app import call, command_line
from pipeline.errors import UsageError
from pipeline.submissions.references import REF
from pipeline.submissions.remotes import Remote, add_remote, owner_of, read_remotes
from pipeline.submissions.staff import add_student

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example/ada/mnist.git",
        "ssh://git@git.example:2222/ada/mnist",
        "git@git.example:ada/mnist.git",
        "https://ada:secret@git.example/ada/mnist.git",
        "https://git.example/../mnist.git",
        "https://git.example/-x",
        "file:///etc",
        "ext::sh -c id",
        "--upload-pack=x",
        "https://git.example/a\nb",
    ],
)
def test_an_address_is_accepted_as_the_jenkinsfile_accepts_it(url: str, site: Site) -> None:
    """What one takes and the other does not would be a push that no build can be made of."""
    text = (ROOT / "Jenkinsfile").read_text()
    server = re.search(r"String server = /(.*)/$", text, re.MULTILINE)
    path = re.search(r"String path = /(.*)/$", text, re.MULTILINE)
    assert server and path
    pattern = f"({server[1]})?{path[1]}".replace(r"\/", "/")
    accepted = True
    try:
        add_remote(site.course, "cleo", "mnist-train", url.replace("ada/", "cleo/"))
    except UsageError:
        accepted = False
    assert accepted == bool(re.fullmatch(pattern, url.replace("ada/", "cleo/")))


def test_one_repository_has_one_owner(site: Site) -> None:
    with pytest.raises(UsageError, match="ada works on"):
        add_student(site.course, "bob", (), {"mnist-train": "https://GIT.example:443/Ada/mnist"})
    add_student(site.course, "ada", (), {"mnist-train": "https://git.example/ada/again"})
    remotes = read_remotes(site.course)
    assert remotes == [Remote("ada", "mnist-train", "https://git.example/ada/again")]
    assert owner_of(remotes, [URL, ""]) is None


def test_staff_name_addresses_and_read_the_secret_on_the_command_line(site: Site) -> None:
    folder, run = str(site.course.folder), CliRunner().invoke
    names = [one.name for one in site.course.course().assignments]
    added = run(
        command_line(), ["course", "add-student", folder, "bob", "--url", f"{names[0]}=https://git.example/bob/x"]
    )
    assert added.exit_code == 0, added.output
    assert not site.course.repository("bob", names[0]).exists()
    assert all(site.course.repository("bob", name).exists() for name in names[1:])
    listed = json.loads(run(command_line(), ["course", "list", folder, "--json"]).stdout)
    assert ("bob", "https://git.example/bob/x") in [(one["student"], one["repository"]) for one in listed]
    assert run(command_line(), ["course", "webhook", folder]).stdout.strip() == site.secret
    assert run(command_line(), ["course", "webhook", folder, "--renew"]).stdout.strip() != site.secret
    assert site.course.webhook_file.stat().st_mode & 0o077 == 0


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[str]:
    """A repository behind a git server; its address."""
    submitted(tmp_path / "forge" / "ada" / "mnist", "mnist-train", {"model.py": "x = 1\n"})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = ["--reuseaddr", "--listen=127.0.0.1", f"--port={port}", f"--base-path={tmp_path / 'forge'}"]
    command = [git_program("git-daemon"), *place, "--export-all", "--log-destination=none"]
    process = subprocess.Popen(command)
    try:
        until_it_listens(process, port)
        yield f"git://127.0.0.1:{port}/ada/mnist"
    finally:
        process.terminate()
        process.wait(60)


def git_program(name: str) -> str:
    """Run without git in between, which would not hand the signal on that ends it."""
    folder = subprocess.run(["git", "--exec-path"], check=True, capture_output=True, text=True).stdout.strip()
    return str(Path(folder) / name)


def until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("git's server does not listen")


def test_what_is_mapped_is_really_fetched(site: Site, forge: str, tmp_path: Path) -> None:
    add_student(site.course, "ada", (), {"mnist-train": forge})
    told = subprocess.run(["git", "ls-remote", forge, REF], check=True, capture_output=True, text=True).stdout
    commit = told.split()[0]
    evil = {"clone_url": "https://elsewhere.example/evil.git", "ssh_url": forge.upper().replace("GIT:", "git:")}
    site.send("gitea", gitea(before=NOTHING, after=commit, repository=evil))
    (entry,) = site.spooled()
    _, *arguments = LocalBuilds(site.course).arguments(entry)
    arguments[arguments.index("--out") + 1] = str(tmp_path / "run")
    assert call(["stage", "fetch", *arguments]) == 0
    assert (tmp_path / "run" / "source" / "model.py").read_text() == "x = 1\n"
