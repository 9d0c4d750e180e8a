"""deploy/jenkins: each word of the Jenkinsfile, class of the jobs and key of the settings has its plugin."""

from __future__ import annotations

import re

from support.deploy import DEPLOY, ROOT, casc, plugins, texts_of

SOURCE = (ROOT / "Jenkinsfile").read_text()


def test_every_plugin_has_one_version() -> None:
    assert [name for name, version in plugins().items() if not re.fullmatch(r"[0-9][\w.-]*", version)] == []


DECLARATIVE = {
    *("pipeline", "agent", "node", "label", "retries", "options", "parameters", "stages", "stage", "steps", "when"),
    *("expression", "script", "post", "always", "aborted", "cleanup", "skipDefaultCheckout", "disableRestartFromStage"),
}
# whose each word of the Jenkinsfile is; "": Jenkins' own or Groovy's
WORDS = {
    **dict.fromkeys(DECLARATIVE, "pipeline-model-definition"),
    **dict.fromkeys(("timeout", "error", "catchError", "archiveArtifacts"), "workflow-basic-steps"),
    **dict.fromkeys(("disableConcurrentBuilds", "buildDiscarder"), "workflow-job"),
    **dict.fromkeys(("logRotator", "string", "if", "split", "toString"), ""),
    "sh": "workflow-durable-task-step",
    "timestamps": "timestamper",
    "ansiColor": "ansicolor",
    "junit": "junit",
    "publishHTML": "htmlpublisher",
    "cleanWs": "ws-cleanup",
}
CLASSES = {
    "com.cloudbees.hudson.plugins.folder.properties.AuthorizationMatrixProperty": "matrix-auth",
    "com.cloudbees.hudson.plugins.folder.": "cloudbees-folder",
    "org.jenkinsci.plugins.matrixauth.": "matrix-auth",
    "hudson.security.AuthorizationMatrixProperty": "matrix-auth",
    "org.jenkinsci.plugins.workflow.job.": "workflow-job",
    "org.jenkinsci.plugins.workflow.cps.": "workflow-cps",
    "hudson.plugins.git.": "git",
    "flow-definition": "workflow-job",
    "hudson.": "",
    "jenkins.": "",
}
KEYS = {
    "projectMatrix": "matrix-auth",
    "ssh": "ssh-slaves",
    "manuallyProvidedKeyVerificationStrategy": "ssh-slaves",
    "basicSSHUserPrivateKey": "ssh-credentials",
    "domainCredentials": "credentials",
    "triggeringUsersAuthorizationStrategy": "authorize-project",
    "jenkins": "configuration-as-code",
}


def words_of_the_jenkinsfile() -> set[str]:
    """What is called: with brackets, with a block, or at the beginning of a line with an argument."""
    text = re.sub(
        r"'''.*?'''|'[^'\n]*'|//[^\n]*|/\*.*?\*/|(?<== )/[^\n]*/$|, /[^\n]*/\)", "''", SOURCE, flags=re.S | re.M
    )
    own = set(re.findall(r"^void (\w+)", SOURCE, re.MULTILINE))
    called = set(re.findall(r"\b([a-z]\w*)(?: ?\(| \{)", text)) | set(
        re.findall(r"^ +([a-z]\w*) (?=[\w'\[])", text, re.M)
    )
    return called - own - {"int", "void", "return"}


def test_every_word_of_the_jenkinsfile_has_its_plugin() -> None:
    words = words_of_the_jenkinsfile()
    assert {"sh", "junit", "publishHTML", "cleanWs", "timestamps", "ansiColor", "archiveArtifacts"} <= words
    assert words - set(WORDS) == set(), "say in WORDS which plugin it is of"
    assert {WORDS[word] for word in words} - set(plugins()) == {""}


def test_every_class_of_the_jobs_has_its_plugin() -> None:
    texts = [path.read_text() for path in (ROOT / "templates").glob("jenkins_*.xml.j2")]
    classes = {name for text in texts for name in re.findall(r'(?:<|class=")((?:\w+\.)+\w+|flow-definition)', text)}
    assert len(classes) > 8
    owners = {
        name: next((plugin for known, plugin in CLASSES.items() if name.startswith(known)), None) for name in classes
    }
    assert [name for name, plugin in owners.items() if plugin is None] == []
    assert set(owners.values()) - set(plugins()) == {""}


def test_every_setting_of_jenkins_has_its_plugin() -> None:
    there = set(texts_of(casc()))
    assert set(KEYS) - there == set()
    assert set(KEYS.values()) - set(plugins()) == set()


def test_java_of_controller_and_agent_is_one() -> None:
    """The controller sends its own program to the agent, which must have a Java that runs it."""
    image = re.compile(r"jenkins/jenkins:[\w.-]+")
    files = [DEPLOY / "jenkins" / "Dockerfile", DEPLOY / "pipeline" / "Dockerfile"]
    assert len({name for file in files for name in image.findall(file.read_text())}) == 1
