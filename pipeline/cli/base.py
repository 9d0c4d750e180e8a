"""`pipeline base`: the images that courses build on."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.output import output, styled, write_json
from pipeline.errors import UsageError
from pipeline.settings import DEFAULT_BASE, BaseRecipe, Course

app = typer.Typer(help="The images that a course's images build on, on the docker engine.", no_args_is_help=True)

CourseFile = Annotated[Path | None, typer.Option(help="course.toml, whose bases are meant", metavar="FILE")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


@app.command("build", short_help="make a base")
def build(
    name: Annotated[str, typer.Argument(help="of the base")] = DEFAULT_BASE,
    begin_with: Annotated[
        str | None,
        typer.Option(
            "--from", help="an image with Python 3.11 or newer", metavar="IMAGE", show_default="python:3.12-slim"
        ),
    ] = None,
    rootfs: Annotated[
        Path | None, typer.Option(help="instead: a root file system with Python", metavar="TAR_OR_DIR", exists=True)
    ] = None,
    package: Annotated[
        list[str] | None, typer.Option(help="laid onto it; may be given again", show_default="torch, numpy")
    ] = None,
    course: CourseFile = None,
) -> None:
    """Make the base that images build on. The last line names it; one that is made of the same is there already."""
    from pipeline.bases.base_images import reference_of
    from pipeline.bases.builder import Builder
    from pipeline.bases.chosen import chosen
    from pipeline.bases.pulling import course_registry
    from pipeline.course import cache_folder, load_course
    from pipeline.embedded.docker.engine import connect
    from pipeline.package_tool import PackageTool

    settings = load_course(course).course
    of_course = known(settings, name, course)
    given = {"from_image": begin_with, "rootfs": rootfs, "packages": tuple(package) if package else None}
    recipe = recipe_of(name, of_course, {key: value for key, value in given.items() if value is not None})
    cache = cache_folder(settings)
    tool = PackageTool.with_wheels(settings.wheels, cache)
    registry = course_registry(settings.servers)
    console = output()
    if recipe.image is not None:
        console.print(
            styled(f"as it is: Python and {len(chosen(connect(), recipe, cache, registry).packages)} packages")
        )
        console.print(styled(recipe.image))
        return
    builder = Builder(connect(), tool, cache, registry, lambda line: console.print(styled(line)))
    built = builder.build(recipe, reference_of(name, of_course))
    console.print(styled(f"{built.size_bytes / 10**6:.0f} MB, {built.id}"))
    console.print(styled(reference_of(name, of_course)))


@app.command("list", short_help="bases that are there")
def list_bases(as_json: AsJson = False) -> None:
    """List the bases that the docker engine has, newest first."""
    from pipeline.bases.base_images import base_images
    from pipeline.embedded.docker.engine import connect

    rows = [
        {
            "reference": one.references[0],
            "names": list(one.references),
            "id": one.id,
            "python": one.label.inside.python_version,
            "packages": one.label.inside.packages,
            "size_bytes": one.size_bytes,
            "created": datetime.fromtimestamp(int(one.created), UTC).isoformat(),
        }
        for one in base_images(connect())
    ]
    if as_json:
        write_json(rows)
        return
    console = output()
    for row in rows:
        console.print(styled(line_of(row)))
    if not rows:
        console.print(styled("none; `pipeline base build` makes one"))


def line_of(row: dict[str, Any]) -> str:
    packages = row["packages"]
    main = ", ".join(f"{name} {packages[name]}" for name in ("torch", "numpy") if name in packages)
    size, names = f"{row['size_bytes'] / 10**6:.0f} MB", ", ".join(row["names"])
    return f"{row['id'][7:19]}  {size:>8}  Python {row['python']:<8} {main}  {names}"


def known(course: Course, name: str, file: Path | None) -> BaseRecipe | None:
    """What the course says of a base. Raises UsageError for a name that no image could build on."""
    recipe = course.base(name)
    if recipe is None and name != DEFAULT_BASE:
        names = [DEFAULT_BASE, *(one.name for one in course.bases)]
        hint = f"there are {', '.join(names)}" if file else "name the course file that has it with --course"
        raise UsageError(f"there is no base {name!r}", hint=hint)
    return recipe


def recipe_of(name: str, of_course: BaseRecipe | None, given: dict[str, Any]) -> BaseRecipe:
    """Raises UsageError where the command line says other than the course, or two things at a time."""
    if of_course is not None and given:
        raise UsageError(f"the course file says what base {name!r} is made of", hint="change it there")
    if "from_image" in given and "rootfs" in given:
        raise UsageError("a base begins with an image or with a root file system", hint="either --from or --rootfs")
    return of_course or BaseRecipe(name=name, **given)
