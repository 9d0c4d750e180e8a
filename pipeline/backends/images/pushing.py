"""An image on its way to a registry. The key goes in a header to the engine and nowhere else."""

from __future__ import annotations

import docker.errors

from pipeline.embedded.docker.engine import ENGINE_ERRORS, Engine, said
from pipeline.embedded.docker.images import Registry
from pipeline.errors import CourseError, InfrastructureError, PipelineError

TRUST = "let the engine trust it: its certificate in /etc/docker/certs.d/HOST:PORT/ca.crt"
PLAIN = "give the registry a certificate, or name it under insecure-registries of the engine's daemon.json"
ROOM = "free space on the registry's disk, then `pipeline resume`"
AGAIN = "start it, or wait until it can be reached, then `pipeline resume`"
KEY = "check servers.registry_auth_file: user:password in one line, of a user who may push there"
# signs in the engine's words -> whose fault, what, what to do; the first that fits
REASONS: tuple[tuple[tuple[str, ...], type[PipelineError], str, str], ...] = (
    (
        ("unauthorized", "no basic auth", "authentication required"),
        CourseError,
        "refuses the user or the password",
        KEY,
    ),
    (("denied", "forbidden"), CourseError, "does not let this user push there", KEY),
    (("http response to https",), CourseError, "speaks no TLS, which the engine asks for", PLAIN),
    (("x509", "certificate"), CourseError, "has a certificate that the engine does not trust", TRUST),
    (("no space left",), InfrastructureError, "has no space left", ROOM),
    (("http status: 5",), InfrastructureError, "has a fault of its own", ROOM + "; else see its log"),
)


def push_image(engine: Engine, reference: str, image: str, registry: Registry) -> str:
    """Pushes an image by its name, unless it is there; the digest of its manifest.

    Raises CourseError where the registry refuses, InfrastructureError where it does not answer or has no room.
    """
    repository, _, tag = reference.rpartition(":")
    key = registry.credentials()
    there = digest_there(engine, reference, image, key)
    if there:
        return there
    complaint = digest = ""
    try:
        for step in engine.api.push(repository, tag=tag, stream=True, decode=True, auth_config=key):
            complaint = str(step.get("error") or complaint)
            digest = str((step.get("aux") or {}).get("Digest") or digest)
    except ENGINE_ERRORS as error:
        complaint = said(error)
    if complaint or not digest:
        raise refused(registry.host, reference, complaint or "it gave no digest")
    return digest


def digest_there(engine: Engine, reference: str, image: str, key: dict[str, str] | None) -> str:
    """The digest by which the registry has this very image; empty where it has not, or cannot be asked."""
    try:
        known = engine.client.images.get(image).attrs.get("RepoDigests") or []
        repository = reference.rpartition(":")[0]
        if not any(one.startswith(f"{repository}@") for one in known):
            return ""
        digest = str(engine.client.images.get_registry_data(reference, auth_config=key).id)
    except docker.errors.APIError:
        return ""
    except ENGINE_ERRORS as error:
        raise InfrastructureError(f"the docker engine does not answer: {said(error)}") from error
    return digest if f"{repository}@{digest}" in known else ""


def refused(host: str, reference: str, complaint: str) -> PipelineError:
    """Why it is not in the registry. Complaints of the engine hold no key: it is in none of its messages."""
    text = complaint.lower()
    for signs, kind, what, hint in REASONS:
        if any(sign in text for sign in signs):
            return kind(f"the registry {host} {what}: {reference} was not pushed ({complaint})", hint=hint)
    return InfrastructureError(
        f"the registry {host} does not answer: {reference} was not pushed ({complaint})", hint=AGAIN
    )
