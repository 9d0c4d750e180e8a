"""deploy/: what Compose itself says of it, who holds what, and that what Jenkins is told names only what there is.

No Jenkins runs here: whether it takes its settings, only a server can say (docs/staff.md).
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.deploy import DEPLOY, ROOT, SETTINGS, casc, load, loaded, loader, make_secrets, texts_of

from pipeline.build_server import read_build_server
from pipeline.course import load_course
from pipeline.roster import read_roster

ONE_SHOT = {"setup", "sync", "store-user"}
PLACEHOLDER = re.compile(r"\^?\$\{(\w+)(:-[^}]*)?\}")
PUBLISHED_KEY = "123zO3xZCLrMN6v2BKK1dXYFpXlPkccOFqm12CdAsMgRU4VrNZ9lyGVCGuMDGIwP"


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


def test_compose_refuses_what_is_no_compose_file(compose: Path, tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text((DEPLOY / "compose.yaml").read_text().replace("restart: unless-stopped", "restrat: always", 1))
    done = load(compose, DEPLOY, file, **SETTINGS)
    assert done.returncode == 1
    assert "restrat" in done.stderr


def test_settings_that_were_forgotten_are_asked_for(compose: Path) -> None:
    done = load(compose, DEPLOY, DEPLOY / "compose.yaml")
    assert done.returncode == 1
    assert "set it in .env" in done.stderr
    named = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text()))
    explained = set(re.findall(r"^(\w+)=", (DEPLOY / ".env.example").read_text(), re.MULTILINE))
    assert named - explained == {"AGENT_ADDRESS", "AGENT_LISTEN"}, "the two for a second machine"


def test_every_service_is_looked_after(project: dict[str, Any]) -> None:
    for name, service in project["services"].items():
        if name in ONE_SHOT:
            assert service["restart"] in {"no", "on-failure:10"}, name
        else:
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"], name
        assert service["logging"]["options"]["max-size"], name
        assert re.search(r":[\w.-]*\d[\w.-]*$", service["image"]) or "build" in service, f"{name} has no fixed version"


def test_only_the_agent_has_the_engine(project: dict[str, Any]) -> None:
    services = project["services"]
    with_engine = {
        name
        for name, service in services.items()
        if any("docker.sock" in one.get("source", "") for one in service.get("volumes") or ())
    }
    assert with_engine == {"agent"}
    weakened = {name for name, one in services.items() if one.get("privileged") or one.get("network_mode") == "host"}
    assert weakened == {"agent"}
    assert all(one.get("cap_drop") == ["ALL"] for name, one in services.items() if name != "agent")


def test_what_other_machines_reach_is_what_people_need(project: dict[str, Any]) -> None:
    open_to_all = {
        (name, port["published"])
        for name, service in project["services"].items()
        for port in service.get("ports") or ()
        if port.get("host_ip") != "127.0.0.1"
    }
    assert open_to_all == {("proxy", "80"), ("proxy", "443"), ("git", "2222")}


def test_no_secret_stands_in_a_setting_or_in_the_repository(project: dict[str, Any], made: Path) -> None:
    for name, service in project["services"].items():
        for key, value in (service.get("environment") or {}).items():
            assert not re.search("PASSWORD|TOKEN|SECRET|KEY", key) or str(value).startswith("/run/secrets/"), name
    used = {one["source"] for service in project["services"].values() for one in service.get("secrets") or ()}
    assert used == set(project["secrets"])
    kept = subprocess.run(["git", "ls-files", "deploy"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    texts = [path.read_text() for name in kept.split() if (path := ROOT / name).exists()]
    assert not any(PUBLISHED_KEY in text or "PRIVATE KEY" in text for text in texts)


def test_jenkins_settings_name_only_what_there_is(project: dict[str, Any]) -> None:
    """`${}` is filled in everywhere; one that nothing fills would become an empty password."""
    jenkins = project["services"]["jenkins"]
    known = {one["source"] for one in jenkins["secrets"]} | set(jenkins["environment"])
    named = {match[1] for text in texts_of(casc()) for match in PLACEHOLDER.finditer(text) if match[0][0] != "^"}
    assert named - known == set()
    rest = [PLACEHOLDER.sub("", text) for text in texts_of(casc())]
    assert [text for text in rest if "$" in text] == []
    assert {one["source"] for one in jenkins["secrets"]} - named == {"jenkins_bot_token"}, (
        "which bot-token.groovy reads"
    )


def test_the_controller_builds_nothing_and_lets_nobody_in(project: dict[str, Any]) -> None:
    jenkins = casc()["jenkins"]
    assert jenkins["numExecutors"] == 0
    assert jenkins["securityRealm"]["local"]["allowsSignup"] is False
    rights = {
        entry[kind]["name"]: entry[kind]["permissions"]
        for entry in jenkins["authorizationStrategy"]["projectMatrix"]["entries"]
        for kind in entry
    }
    assert rights["dispatcher"] == ["Overall/Read", "Job/Create"]
    assert rights["authenticated"] == ["Overall/Read", "Agent/Build"]
    assert set(rights) == {"admin", "dispatcher", "authenticated"}
    node = jenkins["nodes"][0]["permanent"]
    assert f"label '{node['labelString']}'" in (ROOT / "Jenkinsfile").read_text()
    paths = {one["key"]: one["value"] for one in node["nodeProperties"][0]["envVars"]["env"]}
    mounted = {one["target"] for one in project["services"]["agent"]["volumes"]}
    assert set(paths.values()) | {node["remoteFS"]} <= mounted
    assert {"PIPELINE_RUNS", "PIPELINE_COURSES"} <= set(paths)


def test_what_the_image_is_made_of_is_there_and_gets_in() -> None:
    lines = (DEPLOY / "pipeline" / "Dockerfile").read_text().splitlines()
    copied = [line.split() for line in lines if line.startswith("COPY") and "--from" not in line]
    sources = [word for words in copied for word in words[1:-1] if not word.startswith("--")]
    let_in = {
        line[1:] for line in (DEPLOY / "pipeline" / "Dockerfile.dockerignore").read_text().split() if line[0] == "!"
    }
    assert set(sources) == let_in
    assert [name for name in sources if not (ROOT / name).exists()] == []


def test_the_course_that_staff_begin_with_is_one(tmp_path: Path, made: Path) -> None:
    for example in (DEPLOY / "course").glob("*.example"):
        (tmp_path / example.stem).write_text(example.read_text().replace("/run/secrets", str(made)))
    course = load_course(tmp_path / "course.toml", environment={}).course
    assert course.name == SETTINGS["COURSE"]
    assert (course.servers.registry, course.servers.store_endpoint) == ("127.0.0.1:5000", "http://127.0.0.1:9000")
    server = read_build_server(tmp_path)
    assert server is not None
    assert server.token().startswith("11")
    users = [one["id"] for one in casc()["jenkins"]["securityRealm"]["local"]["users"]]
    assert server.user in users
    assert f"User.getById('{server.user}'" in (DEPLOY / "jenkins" / "init.groovy.d" / "bot-token.groovy").read_text()
    assert [one.name for one in read_roster(tmp_path / "students.csv")] == ["ada", "bob"]


def test_every_word_that_a_service_says_to_its_entry_is_known(project: dict[str, Any]) -> None:
    entry = (DEPLOY / "pipeline" / "entry.sh").read_text()
    known = set(re.findall(r"^([a-z-]+)\)$", entry, re.MULTILINE))
    own = [one for one in project["services"].values() if one["image"] in {"course/server", "course/agent"}]
    assert {one["command"][0] for one in own if one.get("command")} | {"agent-sshd"} == known
