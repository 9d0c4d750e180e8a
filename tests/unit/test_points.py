"""Every fsync, rename, spawn and request of ours passes a point to die at (`pipeline/faults.py`)."""

from __future__ import annotations

import ast
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from support.deaths import environment, passed

from pipeline.faults import DIE_AT_VARIABLE, inherited

ROOT = Path(__file__).parents[2]
UNSEEN = {
    r"os\.(fsync|fdatasync|sync)": "the interpreter tells of none; pipeline.files.sync does",
    r"aiohttp\.(ClientSession|request)|.*\.ClientSession": "an HTTP of its own; pipeline.embedded.asking tells of it",
    r".*\.(create|open)(_unix)?_connection": "what goes over a bare socket, nobody sees",
    r"multiprocessing\.\w+|_posixsubprocess\.\w+|os\.(system|popen|spawn\w+)|pty\.\w+": "starts processes unseen",
    r"urllib\.request\.\w+|httpx\.\w+|pycurl\.\w+": "another client than those that are tried below",
    r".*\.(sendfile|renameat2?|syscall)": "asks the kernel past the interpreter",
}
"""What an audit hook does not see or what nothing here shows that it sees, and why."""
ALLOWED = {
    ("pipeline.files", "os.fsync"): "the one place, which passes a point",
    ("pipeline.files", "os.fdatasync"): "the one place, which passes a point",
    ("pipeline.embedded.asking", "aiohttp.ClientSession"): "the one place, each request of which passes a point",
    ("pipeline.embedded.forwarder", "aiohttp.ClientSession"): "a type",
    ("pipeline.embedded.openwhisk_forwarder", "aiohttp.ClientSession"): "a type",
    ("pipeline.embedded.openwhisk.exchange", "loop.create_connection"): "/init and /run of actions pass a point there",
    ("pipeline.embedded.openwhisk.exchange", "loop.create_unix_connection"): "as above",
    ("pipeline.embedded.passing", "loop.create_connection"): "bytes of a student's connection, no request of ours",
    ("pipeline.embedded.passing", "loop.create_unix_connection"): "as above",
    ("pipeline.embedded.docker.output", "asyncio.open_connection"): "wraps the socket of a request that has been seen",
    ("pipeline.embedded.docker.output", "asyncio.open_unix_connection"): "as above",
}
"""Where such a thing stands all the same."""
SCRIPTS = ("pipeline.embedded.sandbox.", "pipeline.embedded.die_with_parent", "pipeline.embedded.outlive")
"""Scripts of the standard library alone that become another program: their spawn is the point before them."""
STEPS = {
    "os.replace('a', 'b')": "rename b",
    "pathlib.Path('a').replace('b')": "rename b",
    "pathlib.Path('a').rename('b')": "rename b",
    "shutil.move('a', 'b')": "rename b",
    "subprocess.run(['true', 'x'], check=True)": "spawn true",
    "subprocess.run([sys.executable, '-P', '-m', 'this'], stderr=subprocess.DEVNULL)": "spawn this",
    "asyncio.run(asyncio.create_subprocess_exec('true'))": "spawn true",
    "os.posix_spawn('/bin/true', ['true'], {})": "spawn true",
    "git.Git('.').version()": "spawn git",
    "requests.put(ADDRESS + '/a/b?secret', data=b'PUT /no HTTP/1.1\\r\\n')": "request PUT /a/b",
    "urllib3.PoolManager().request('PUT', ADDRESS + '/a/b?secret')": "request PUT /a/b",
    "minio.Minio(ADDRESS[7:], secure=False).bucket_exists('bucket')": "request HEAD /bucket",
    "docker.APIClient('tcp://' + ADDRESS[7:], version='1.41').ping()": "request GET /v1.41/_ping",
    "http.client.HTTPConnection(ADDRESS[7:]).request('GET', '/a')": "request GET /a",
    "asyncio.run(asked_by_aiohttp())": "request GET /a",
    "files.write_bytes(pathlib.Path('new'), b'x')": "fsync new",
    "files.sync_folder(pathlib.Path('folder'))": "fsync folder/",
    "os.execv('/bin/true', ['true'])": "spawn true",
}
PROGRAM = """
import asyncio, http.client, os, pathlib, shutil, subprocess, sys
import docker, git, minio, requests, urllib3
from pipeline import faults, files
from pipeline.embedded import asking
ADDRESS = {address!r}

async def asked_by_aiohttp():
    async with asking.session() as session, session.get(ADDRESS + '/a?secret'):
        pass

for step in {steps!r}:
    pathlib.Path('x').touch()
    os.rename('x', 'begun')
    pathlib.Path('a').touch()
    pathlib.Path('folder').mkdir(exist_ok=True)
    exec(step)
"""


class Answering(BaseHTTPRequestHandler):
    """Any request, by nothing."""

    def answer(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_PUT = do_HEAD = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_each_step_passes_its_point_whoever_makes_it(address: str, tmp_path: Path) -> None:
    program, log = PROGRAM.format(address=address, steps=list(STEPS)), tmp_path / "log"
    variables = environment(log=log) | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-P", "-c", program], cwd=tmp_path, env=variables, check=True)
    names = "\n".join(point.name for point in passed(log))
    for expected, said in zip(STEPS.values(), names.split("rename begun\n")[1:], strict=True):
        assert expected in said.splitlines(), names


@pytest.mark.parametrize("die_at", ["rename b", "2", "some.module:2", "rename ?#2"])
def test_a_process_dies_before_its_point(die_at: str, tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    program = "import os, pipeline.faults; os.rename('a', 'c'); os.rename('c', 'b')"
    (tmp_path / "some" / "module.py").write_text(program)
    (tmp_path / "a").touch()
    variables = environment(die_at) | {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    done = subprocess.run([sys.executable, "-P", "-m", "some.module"], cwd=tmp_path, env=variables, check=False)
    assert (done.returncode, (tmp_path / "c").exists()) == (-signal.SIGKILL, True)


def test_a_death_is_not_inherited_unless_it_names_its_process() -> None:
    here = {"PATH": "/bin", DIE_AT_VARIABLE: "7"}
    assert inherited(here) == {"PATH": "/bin"}
    assert inherited(here | {DIE_AT_VARIABLE: "pipeline.embedded:7"})[DIE_AT_VARIABLE] == "pipeline.embedded:7"


@cache
def mentions() -> tuple[tuple[str, int, str], ...]:
    """Each dotted name of the course's code, with module and line; what `from a import b` brings in as `a.b`."""
    found = []
    for path in sorted((ROOT / "pipeline").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                found.append((module, node.lineno, ast.unparse(node)))
            elif isinstance(node, ast.ImportFrom):
                found += [(module, node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return tuple(found)


def test_nothing_goes_past_the_points() -> None:
    past = {
        (module, name): f"{module}:{line} uses {name}: {why}"
        for module, line, name in mentions()
        for pattern, why in UNSEEN.items()
        if re.fullmatch(pattern, name) and not module.startswith(SCRIPTS)
    }
    assert [said for found, said in past.items() if found not in ALLOWED] == []
    assert set(ALLOWED) - set(past) == set(), "allowed, and not there any more"
