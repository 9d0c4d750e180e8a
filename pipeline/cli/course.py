"""`pipeline course`: the folder of a course on its server, and who may push to it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.output import output, styled, write, write_json
from pipeline.errors import UsageError
from pipeline.submissions.folder import CourseFolder
from pipeline.submissions.members import authorized_keys, read_key, read_members, remove_member
from pipeline.submissions.references import BRANCH
from pipeline.submissions.reflogs import repositories
from pipeline.submissions.remotes import read_remotes, webhook_secret
from pipeline.submissions.spool import Spool
from pipeline.submissions.staff import add_student, create_course, has_other_settings, strangers

app = typer.Typer(no_args_is_help=True, help="The folder of a course on its server, and who may push to it.")
Folder = Annotated[Path, typer.Argument(help="the course's folder", metavar="DIR", show_default=False)]


@app.command("create", short_help="make a course's folder")
def create(
    folder: Folder,
    template: Annotated[
        Path | None, typer.Option("--from", help="the settings of a new course", metavar="FILE", show_default=False)
    ] = None,
) -> None:
    """Make the folder of a course: its settings, repositories, spool and builds.

    Of one that is there: repositories for new assignments, and the hooks anew, after an upgrade or a move. Tokens,
    settings and what was submitted stay.
    """
    stays = template is not None and has_other_settings(folder, template)
    course = create_course(folder, template)
    if stays:
        output().print(styled(f"{course.course_file} stays as it was: change it there, {template} is not taken"))
    names = ", ".join(one.name for one in course.course().assignments)
    output().print(styled(f"{course.folder}: course {course.course().name} with {names}"))
    for note in strangers(course):
        output().print(styled(f"note: {note}"))
    output().print(styled(f"next: pipeline course add-student {folder} NAME"))


@app.command("add-student", short_help="make the repositories of a student or team")
def add(
    folder: Folder,
    name: Annotated[str, typer.Argument(help="of the student or team", metavar="NAME", show_default=False)],
    keys: Annotated[
        list[Path] | None, typer.Option("--key", help="a public ssh key; may be given again", metavar="FILE")
    ] = None,
    urls: Annotated[
        list[str] | None,
        typer.Option(
            "--url",
            help="where the work on an assignment lies with a forge; may be given again",
            metavar="[ASSIGNMENT=]URL",
        ),
    ] = None,
) -> None:
    """Make a repository for each assignment, and a token, which is shown this once. Again: a new token.

    An assignment with a --url gets no repository here: what is pushed there comes by webhook.
    """
    course = CourseFolder.open(folder)
    given = dict(at_assignment(course, text) for text in urls or ())
    token, made = add_student(course, name, tuple(read_key(one) for one in keys or ()), given)
    console = output()
    for assignment, url in given.items():
        console.print(styled(f"fetched     {url} for {assignment}"))
    for repository in made:
        console.print(styled(f"repository  {repository}"))
    console.print(styled(f"token       {token}"))
    for repository in made:
        console.print(styled(f"clone       URL/git/{name}/{repository.name}, as {name} with the token as password"))
    console.print(styled(f"pages       URL/enter/{token}"))
    console.print(styled(f"what is pushed to {BRANCH} is graded; URL is what `pipeline serve` says of its pages"))


@app.command("remove-student", short_help="let a student or team in no more")
def remove(
    folder: Folder,
    name: Annotated[str, typer.Argument(help="of the student or team", metavar="NAME", show_default=False)],
) -> None:
    """Void a token and all ssh keys; what comes from a forge is not graded. `add-student` lets in again.

    Repositories, submissions and grades stay.
    """
    remove_member(CourseFolder.open(folder), name)
    output().print(styled(f"the token and the keys of {name} open nothing any more"))


@app.command("staff-token", short_help="a new token for the staff's pages")
def new_staff_token(folder: Folder) -> None:
    """Print a new token for staff, which all of them share: the pages ask for it. The old one is void."""
    from pipeline.web.access import renew_staff_token  # Flask, which `keys` must not load for each who calls by ssh

    write(f"{renew_staff_token(CourseFolder.open(folder))}\n")


def at_assignment(course: CourseFolder, text: str) -> tuple[str, str]:
    """`mnist=https://...`; a course of one assignment needs no name of it. Raises UsageError."""
    name, sign, url = text.partition("=")
    if sign and "/" not in name:
        return name, url
    names = [one.name for one in course.course().assignments]
    if len(names) != 1:
        raise UsageError(f"--url {text!r} names no assignment", hint=f"{names[0]}={text}")
    return names[0], text


@app.command("webhook", short_help="the secret that a forge signs with")
def webhook(
    folder: Folder, renew: Annotated[bool, typer.Option("--renew", help="make a new one; the old one is void")] = False
) -> None:
    """Print the secret for the webhooks of Gitea, GitLab or GitHub; with it they are answered, without they are not."""
    secret = webhook_secret(CourseFolder.open(folder), renew=renew)
    where = "{address of the pages}/webhooks/ and github, gitea or gitlab"
    output(errors=True).print(styled(f"address {where}; content type application/json; pushes; secret:"))
    write(f"{secret}\n")


@app.command("keys", short_help="the lines of sshd's authorized_keys")
def keys(folder: Folder) -> None:
    """Print a line for each ssh key: it opens its owner's repositories to git, and nothing else on this machine.

    For the file authorized_keys of the user that holds the course, or for sshd's AuthorizedKeysCommand.
    """
    course = CourseFolder.open(folder)
    command = shlex.join([sys.executable, "-P", "-m", "pipeline.cli.git_shell", str(course.folder)])
    write(authorized_keys(course, command))


@app.command("list", short_help="students and their repositories")
def list_members(folder: Folder, as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False) -> None:
    """List students and teams with their repositories and what they have submitted."""
    course = CourseFolder.open(folder)
    spool = Spool(course.spool)
    entries = [*spool.active(), *spool.over()]
    members = read_members(course)
    here = [(student, assignment, str(path)) for student, assignment, path in repositories(course)]
    rows = [
        {
            "student": student,
            "assignment": assignment,
            "repository": repository,
            "submissions": sum(one.student == student and one.assignment == assignment for one in entries),
            "keys": len(members[student].keys) if student in members else 0,
        }
        for student, assignment, repository in [
            *here,
            *((one.student, one.assignment, one.url) for one in read_remotes(course)),
        ]
    ]
    if as_json:
        write_json(rows)
        return
    for row in rows:
        output().print(styled(f"{row['student']:<24} {row['assignment']:<24} {row['submissions']:>4} submissions"))
