"""deploy/'s scripts, run: secrets, the bot's token, the course's user in a real MinIO, OpenWhisk's keys."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from minio import Minio, S3Error
from support.deploy import DEPLOY, load, loaded, loader, make_secrets
from support.jenkinsfile import JARS, OPENED, QUICK, require
from support.minio_server import minio_server
from support.minio_server import needed as minio_needed
from support.registry_server import await_answer, configuration
from support.registry_server import program as registry_program

from pipeline.cli.findings import State
from pipeline.cli.server_findings import store
from pipeline.settings import Course, Servers


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return loader(tmp_path_factory.mktemp("compose"))


@pytest.fixture(scope="module")
def project(compose: Path) -> dict[str, Any]:
    return loaded(compose)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deploy") / "secrets"
    make_secrets(folder)
    return folder


def test_secrets_are_made_once_and_all_that_are_named(project: dict[str, Any], made: Path) -> None:
    named = {Path(one["file"]).name for one in project["secrets"].values()}
    there = {path.name: path.read_bytes() for path in made.iterdir()}
    assert named <= set(there)
    assert made.stat().st_mode & 0o777 == 0o700
    make_secrets(made)
    assert {path.name: path.read_bytes() for path in made.iterdir()} == there
    values = [there[name] for name in named]
    assert len(set(values)) == len(values)
    assert re.fullmatch(rb"11[0-9a-f]{32}\n", there["jenkins_bot_token"]), "as Jenkins wants a fixed token"


def test_the_registry_takes_the_credentials_that_were_made(made: Path, tmp_path: Path) -> None:
    """A real one; it takes bcrypt alone."""
    path = registry_program()
    if path is None:
        pytest.skip("no registry here (Debian: docker-registry)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    settings, log = tmp_path / "registry.yml", tmp_path / "registry.log"
    # what is JSON is YAML too
    settings.write_text(json.dumps(configuration(address, made / "registry_htpasswd", tmp_path / "images")))
    with log.open("wb") as output:
        process = subprocess.Popen([path, "serve", str(settings)], stdout=output, stderr=output)
    try:
        await_answer(process, address, log)
        user, _, password = (made / "registry_auth").read_text().strip().partition(":")
        assert requests.get(f"http://{address}/v2/", auth=(user, password), timeout=60).status_code == 200
        assert requests.get(f"http://{address}/v2/", auth=(user, password[1:]), timeout=60).status_code == 401
    finally:
        process.terminate()
        process.wait(60)


def test_make_prepares_and_overwrites_nothing(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns("secrets", ".env"))
    folder = tmp_path / "deploy"
    (folder / "course" / "students.csv").write_text("name\neve\n")
    for _ in range(2):
        subprocess.run(["make", "-s", "-C", folder], check=True, capture_output=True, timeout=120)
    assert (folder / "course" / "students.csv").read_text() == "name\neve\n"
    assert (folder / ".env").read_text() == (DEPLOY / ".env.example").read_text()
    assert (folder / "secrets" / "jenkins_bot_token").exists()


@pytest.mark.parametrize("script", sorted(DEPLOY.rglob("*.sh")), ids=lambda path: str(path.relative_to(DEPLOY)))
def test_scripts_can_be_read_by_a_plain_shell(script: Path) -> None:
    done = subprocess.run(["sh", "-n", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# what the script uses of Jenkins, which notes what was done
STUBS = {
    "hudson/model/User.groovy": """
        package hudson.model
        class User {
            def property = new jenkins.security.ApiTokenProperty()
            static User getById(String id, boolean create) { println "$id $create"; new User() }
            def getProperty(Class kind) { assert kind == jenkins.security.ApiTokenProperty; property }
            void save() { println property.tokenStore.tokens }
        }""",
    "jenkins/security/ApiTokenProperty.groovy": """
        package jenkins.security
        class Store {
            Map tokens = [one: 'old', two: 'stolen']
            List getTokenListSortedByName() { tokens.keySet().collect { [uuid: it] } }
            void revokeToken(String uuid) { tokens.remove(uuid) }
            void addFixedNewToken(String name, String token) { tokens[name] = token }
        }
        class ApiTokenProperty { Store tokenStore = new Store() }""",
}


def test_the_bot_has_the_secrets_token_and_no_other(tmp_path: Path, made: Path) -> None:
    require()
    for name, text in STUBS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    script = DEPLOY / "jenkins" / "init.groovy.d" / "bot-token.groovy"
    own = tmp_path / script.name
    own.write_text(script.read_text().replace("/run/secrets", str(made)))
    paths = ":".join(map(str, [*JARS, tmp_path]))
    command = ["java", *QUICK, *OPENED, "-cp", paths, "groovy.ui.GroovyMain", str(own)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    token = (made / "jenkins_bot_token").read_text().strip()
    assert (done.returncode, done.stdout.splitlines()) == (0, ["dispatcher true", f"[pipeline:{token}]"]), done.stderr


def test_the_course_gets_a_user_of_its_own_in_the_store(tmp_path: Path, made: Path) -> None:
    """A real MinIO; run twice, as a restart does."""
    minio_needed()
    secrets = tmp_path / "secrets"
    shutil.copytree(made, secrets)
    with minio_server(tmp_path / "objects") as server:
        for name, value in (("user", server.access_key), ("password", server.secret_key)):
            (secrets / f"store_root_{name}").unlink()
            (secrets / f"store_root_{name}").write_text(f"{value}\n")
        environment = os.environ | {"COURSE": "ml-2026", "STORE": server.endpoint, "SECRETS": str(secrets)}
        for _ in range(2):
            subprocess.run(
                [sys.executable, DEPLOY / "minio" / "course_user.py"], check=True, env=environment, timeout=120
            )
        settings = Servers(store_endpoint=server.place.url, store_auth_file=secrets / "store_auth")
        found = store(Course(name="ml-2026", assignments=(), servers=settings))
        assert found.state is State.OK, found
        user, _, password = (secrets / "store_auth").read_text().strip().partition(":")
        client = Minio(server.endpoint, user, password, secure=False)
        client.make_bucket("run.ml-2026.one")
        with pytest.raises(S3Error, match="AccessDenied"):
            client.make_bucket("run.other.one")


class TestOpenWhisk:
    def test_its_compose_file_is_one(self, compose: Path) -> None:
        folder = DEPLOY / "openwhisk"
        done = load(compose, folder, folder / "compose.yaml")
        assert (done.returncode, done.stderr) == (0, "")
        service = json.loads(done.stdout)["services"]["openwhisk"]
        assert [one["host_ip"] for one in service["ports"]] == ["127.0.0.1"]
        assert service["command"][:2] == ["-c", "/run/secrets/openwhisk_conf"]

    def test_its_keys_are_its_own(self, tmp_path: Path) -> None:
        make = ["sh", DEPLOY / "openwhisk" / "key.sh", tmp_path]
        subprocess.run(make, check=True, timeout=60)
        conf, auth = (tmp_path / "openwhisk_conf").read_text(), (tmp_path / "openwhisk_auth").read_text()
        keys = dict(re.findall(r'^    ([\w-]+) = "([0-9a-f-]{36}:[0-9a-f]{64})"$', conf, re.MULTILINE))
        assert set(keys) == {"guest", "whisk-system"}, "both come with published keys"
        assert keys["guest"] != keys["whisk-system"]
        assert auth == f"{keys['guest']}\n"
        assert (tmp_path / "openwhisk_auth").stat().st_mode & 0o077 == 0
        assert json.loads((tmp_path / "registry_login").read_text()) == {}
        (tmp_path / "auth").write_text("pipeline:word\n")
        subprocess.run([*make, "127.0.0.1:5000", tmp_path / "auth"], check=True, timeout=60)
        assert (tmp_path / "openwhisk_conf").read_text() == conf
        login = json.loads((tmp_path / "registry_login").read_text())
        assert base64.b64decode(login["auths"]["127.0.0.1:5000"]["auth"]) == b"pipeline:word"
