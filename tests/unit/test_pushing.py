"""What goes wrong on the way to a registry, in the engine's own words, and whose fault it is."""

from __future__ import annotations

import pytest

from pipeline.backends.images.pushing import refused
from pipeline.errors import CourseError, InfrastructureError, PipelineError

REFERENCE = "registry.example:5000/ml/mnist-train:run-1"
UNREACHED = 'Get "https://registry.example:5000/v2/": '


@pytest.mark.parametrize(
    ("complaint", "kind", "words", "hint"),
    [
        ("unauthorized: authentication required", CourseError, "user or the password", "registry_auth_file"),
        ("no basic auth credentials", CourseError, "user or the password", "registry_auth_file"),
        ("denied: requested access to the resource is denied", CourseError, "let this user", "registry_auth_file"),
        (
            UNREACHED + "http: server gave HTTP response to HTTPS client",
            CourseError,
            "speaks no TLS",
            "insecure-registries",
        ),
        (
            UNREACHED + "x509: certificate signed by unknown authority",
            CourseError,
            "does not trust",
            "/etc/docker/certs.d",
        ),
        (
            UNREACHED + "dial tcp 127.0.0.1:5000: connect: connection refused",
            InfrastructureError,
            "does not answer",
            "resume",
        ),
        (
            UNREACHED + "dial tcp: lookup registry.example: no such host",
            InfrastructureError,
            "does not answer",
            "resume",
        ),
        (
            "received unexpected HTTP status: 500 Internal Server Error",
            InfrastructureError,
            "fault of its own",
            "free space",
        ),
        ("write /var/lib/registry: no space left on device", InfrastructureError, "no space left", "free space"),
        ("something new", InfrastructureError, "something new", "resume"),
    ],
)
def test_a_push_that_failed_is_told_apart(complaint: str, kind: type[PipelineError], words: str, hint: str) -> None:
    error = refused("registry.example:5000", REFERENCE, complaint)
    assert type(error) is kind
    assert words in error.message and REFERENCE in error.message
    assert hint in error.hint
