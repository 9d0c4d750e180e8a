"""The one place that chooses implementations."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.backends import Backends
from pipeline.backends.ci import Builds, Jobs
from pipeline.backends.ci.local import LocalBuilds
from pipeline.backends.images import Images
from pipeline.backends.images.process import ProcessImages
from pipeline.backends.servers import Servers
from pipeline.backends.servers.embedded import EmbeddedServers
from pipeline.backends.servers.openwhisk import OpenWhiskServers
from pipeline.build_server import BuildServer, read_build_server
from pipeline.course import cache_folder, load_course
from pipeline.embedded.contract import DockerImage, ProcessImage
from pipeline.roster import Owner
from pipeline.run import Run
from pipeline.settings import Course, Sandbox
from pipeline.submissions.folder import CourseFolder


def choose(run: Run) -> Backends:
    """The backends that a run's record asks for."""
    return Backends(images=images(run.record.course, run.record.request.sandbox), servers=servers(run))


def images(course: Course, sandbox: Sandbox) -> Images:
    """Who builds images for a sandbox; `auto` is resolved when a run begins."""
    if sandbox is Sandbox.DOCKER:
        from pipeline.backends.images.docker import DockerImages  # its libraries take time, and most need none

        return DockerImages(course, cache_folder(course))
    return ProcessImages(cache_folder(course), course)


def servers(run: Run) -> Servers:
    """The servers of a run, with the course's OpenWhisk where its settings name one."""
    return EmbeddedServers(run) if run.record.course.servers.apihost is None else OpenWhiskServers(run)


def choose_builds(course: CourseFolder, url: str = "") -> Builds:
    """Who builds what is pushed to a course: the Jenkins that its folder names, else worker processes of this machine.

    `url` is where the course's own pages are.
    """
    server = read_build_server(course.folder)
    if server is None:
        return LocalBuilds(course, url)
    from pipeline.backends.ci.jenkins_builds import JenkinsBuilds  # its libraries take time, and most need none

    return JenkinsBuilds(course, server)


def choose_jobs(course: Course, owners: Sequence[Owner], server: BuildServer) -> Jobs:
    """A course's folder and jobs in Jenkins."""
    from pipeline.backends.ci.jenkins import Connection
    from pipeline.backends.ci.jenkins_sync import CourseJobs

    return CourseJobs(Connection(server), course, owners, server)


def runtime_image(reference: str, sandbox: Sandbox = Sandbox.AUTO) -> ProcessImage | DockerImage:
    """What code actions run in, of the default base. Raises CourseError where docker has no such base yet."""
    return images(load_course(None).course, sandbox).runtime(reference)
