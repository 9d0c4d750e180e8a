"""The one place that chooses implementations."""

from __future__ import annotations

from pipeline.backends import Backends
from pipeline.backends.ci import Builds
from pipeline.backends.ci.local import LocalBuilds
from pipeline.backends.images.process import ProcessImages
from pipeline.backends.servers import Servers
from pipeline.backends.servers.embedded import EmbeddedServers
from pipeline.backends.servers.openwhisk import OpenWhiskServers
from pipeline.course import cache_folder, user_cache
from pipeline.embedded.contract import ProcessImage
from pipeline.errors import UsageError
from pipeline.run import Run
from pipeline.settings import Sandbox
from pipeline.submissions.folder import CourseFolder


def choose(run: Run) -> Backends:
    """The backends that a run's record asks for. Raises UsageError for one that is not there yet."""
    if run.record.request.sandbox is Sandbox.DOCKER:
        raise UsageError("the docker sandbox is not there yet", hint="use --sandbox process")
    return Backends(images=ProcessImages(cache_folder(run.record.course)), servers=servers(run))


def servers(run: Run) -> Servers:
    """The servers of a run, with the course's OpenWhisk where its settings name one."""
    return EmbeddedServers(run) if run.record.course.servers.apihost is None else OpenWhiskServers(run)


def choose_builds(course: CourseFolder, url: str = "") -> Builds:
    """Who builds what is pushed to a course: worker processes of this machine. `url` is where its pages are."""
    return LocalBuilds(course, url)


def runtime_image(reference: str, sandbox: Sandbox = Sandbox.AUTO) -> ProcessImage:
    """What code actions run in, put together in the user's cache. Raises UsageError for one that is not there yet."""
    if sandbox is Sandbox.DOCKER:
        raise UsageError("the docker sandbox is not there yet", hint="use --sandbox process")
    return ProcessImages(user_cache()).runtime(reference)
