"""`requirements.txt` -> requirements that the course accepts: name, extras, specifier, marker, and nothing else.

Every other line is refused with its number, the reason, and what to write instead, so that a real `pip freeze` can be
mended line by line (docs/security.md, cases 1 to 7).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from pipeline.errors import Fault
from pipeline.text import one_line
from pipeline.text_files import decode
from pipeline.validation import nearest

FILE = "requirements.txt"
MOST_LINES = 500
MOST_CHARACTERS = 2000
CODING = re.compile(r"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
UTF8_NAMES = {"utf-8", "utf8", "utf_8", "utf-8-sig", "ascii", "us-ascii"}
EGG = re.compile(r"[#&]egg=([A-Za-z0-9._-]+)")
VERSION_IN_URL = re.compile(r"@v?(\d+(?:\.\d+)+)(?:$|[#&?])")
DIRECT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*@\s*(\S+)")
LOCATION = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:|[./~\\]|[A-Za-z]:\\)")
ARCHIVE = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar")
REASONS = {
    ("-r", "--requirement"): ("reads another file", "put its lines here"),
    ("-c", "--constraint"): ("reads another file", "put the versions here"),
    ("-i", "--index-url", "--extra-index-url", "--index", "--default-index"): (
        "names another package index",
        "remove it: the course's index is used",
    ),
    ("-f", "--find-links", "--no-index", "--trusted-host"): (
        "changes where packages come from",
        "remove it: the course's index is used",
    ),
    ("--no-binary", "--only-binary", "--prefer-binary"): (
        "changes how packages are built",
        "remove it: wheels are used",
    ),
    ("--pre",): ("asks for unfinished versions", "name the version, such as `package==2.0rc1`"),
    ("--hash", "--require-hashes"): ("is about hashes", "remove it: the course locks every wheel by its hash"),
}


@dataclass(frozen=True)
class Requirements:
    """The accepted requirements in the order of the file with their lines, and the faults of all other lines."""

    accepted: tuple[Requirement, ...]
    faults: tuple[Fault, ...] = ()
    lines: tuple[int, ...] = ()

    def normalised(self) -> str:
        """One line each, sorted, without what changes nothing: the text whose hash names a lock."""
        return "".join(sorted({f"{canonical(one)}\n" for one in self.accepted}))


def canonical(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(map(canonicalize_name, requirement.extras)))}]" if requirement.extras else ""
    marker = f" ; {requirement.marker}" if requirement.marker else ""
    return f"{canonicalize_name(requirement.name)}{extras}{requirement.specifier}{marker}"


def read_requirements(
    content: bytes,
    base: Mapping[str, str],
    allowed: Collection[str] | None = None,
    markers: Mapping[str, str] | None = None,
) -> Requirements:
    """Parses a requirements file against what the base provides (normalised name -> version).

    `allowed` are the packages that the course allows besides the base's (None: all), `markers` what the base's Python
    and platform have in place of this machine's. Nothing is fetched or run.
    """
    text = decode(content, FILE)
    if isinstance(text, Fault):
        return Requirements((), (text,))
    accepted, faults, lines = [], [], []
    for number, line in logical_lines(text):
        if number > MOST_LINES:
            faults.append(Fault(FILE, f"has more than {MOST_LINES} lines", "keep what your job imports", number))
            break
        found = read_line(line, base, allowed, markers or {})
        if isinstance(found, Requirement):
            accepted.append(found)
            lines.append(number)
        elif found is not None:
            faults.append(Fault(FILE, found[0], found[1], number))
    return Requirements(tuple(accepted), (*coding_fault(text), *faults), tuple(lines))


def logical_lines(text: str) -> list[tuple[int, str]]:
    """Lines with their numbers, continued ones joined, comments and empty ones left out."""
    lines: list[tuple[int, str]] = []
    begun, joined = 0, ""
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        begun = begun or number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            joined += line[:-1]
            continue
        joined = re.sub(r"(^|\s)#.*$", "", joined + line).strip()
        if joined:
            lines.append((begun, joined))
        begun, joined = 0, ""
    return [*lines, (begun, joined.strip())] if joined.strip() else lines


def coding_fault(text: str) -> tuple[Fault, ...]:
    """pip reads a file as its coding line says; here all is UTF-8, and a line that says otherwise is refused."""
    for number, line in enumerate(text.split("\n")[:2], start=1):
        found = CODING.match(line)
        if found and found[1].lower() not in UTF8_NAMES:
            message = f"says that it is {one_line(found[1], 40)}, and only UTF-8 is read"
            return (Fault(FILE, message, "remove the coding line", number),)
    return ()


def read_line(
    line: str, base: Mapping[str, str], allowed: Collection[str] | None, markers: Mapping[str, str]
) -> Requirement | tuple[str, str] | None:
    """One requirement, or why it is refused and what to do."""
    if len(line) > MOST_CHARACTERS:
        return "is a very long line", "one requirement a line"
    if line.startswith("-"):
        return refused_option(line, base)
    if direct := DIRECT.match(line):
        return refused_direct(line, direct[1], direct[2], base)
    if LOCATION.match(line) or line.lower().endswith(ARCHIVE):
        return refused_location(line, base)
    if " --" in line or " -" in line.split(";")[0]:
        return refused_option(line[line.index(" -") + 1 :], base)
    try:
        requirement = Requirement(line)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        return f"`{one_line(line, 80)}` is no requirement: {one_line(reason)}", "write `name` or `name==version`"
    return judged(requirement, base, allowed, markers)


def judged(
    requirement: Requirement, base: Mapping[str, str], allowed: Collection[str] | None, markers: Mapping[str, str]
) -> Requirement | tuple[str, str]:
    """Whether a well-formed requirement can be met here."""
    name = canonicalize_name(requirement.name)
    if name in {"pkg-resources", "pkg_resources"}:
        return f"`{requirement}` is no package: an old pip of Debian and Ubuntu writes it", "delete the line"
    if requirement.marker is not None and not requirement.marker.evaluate(dict(markers)):
        return requirement
    provided = base.get(name)
    if provided is not None and not requirement.specifier.contains(provided, prereleases=True):
        public = provided.split("+")[0]
        message = f"`{requirement}` conflicts with the base, which provides {name} {provided}"
        return message, f"write `{name}=={public}` or `{name}`"
    if provided is None and allowed is not None and name not in {canonicalize_name(one) for one in allowed}:
        return f"`{name}` is not among the packages that the course allows", nearest(name, [*allowed, *base]).replace(
            "the keys here are", "allowed are"
        )
    return requirement


def refused_option(line: str, base: Mapping[str, str]) -> tuple[str, str]:
    """An option of pip. `-e` is told by what it installs."""
    option = re.split(r"[\s=]", line, maxsplit=1)[0]
    if option in {"-e", "--editable"} or line.startswith("-e"):
        target = line.removeprefix(option).strip(" =")
        egg = EGG.search(target)
        hint = "remove it: all files of your submission can be imported as they are"
        if egg:
            version = VERSION_IN_URL.search(target.split("#")[0])
            hint = replacement(egg[1], version[1] if version else None, base)
        elif "://" in target or target.startswith("git+"):
            hint = "write `name==version` of a released package"
        return f"`{one_line(line, 80)}` installs from source, and only wheels are installed", hint
    for options, (reason, hint) in REASONS.items():
        if option in options or (len(options[0]) == 2 and line.startswith(options[0]) and not line.startswith("--")):
            return f"`{one_line(line, 80)}` {reason}", hint
    return f"`{one_line(line, 80)}` is an option, and none is accepted", "remove it"


def refused_direct(line: str, name: str, url: str, base: Mapping[str, str]) -> tuple[str, str]:
    """`name @ url`: conda's and pip's way to say from which file or repository a package came."""
    kind = "a file of the machine where it was written" if url.startswith("file:") else "an address of its own"
    tag = VERSION_IN_URL.search(url)
    version = version_in_file(url) or (tag[1] if tag else None)
    return f"`{one_line(line, 80)}` takes {name} from {kind}", replacement(name, version, base)


def refused_location(line: str, base: Mapping[str, str]) -> tuple[str, str]:
    """A path or URL alone."""
    shown = one_line(line, 80)
    if egg := EGG.search(line):
        return f"`{shown}` is an address, and only packages of the index are installed", replacement(egg[1], None, base)
    if version := version_in_file(line):
        hint = replacement(re.split(r"[/\\]", line)[-1].split("-")[0], version, base)
        return f"`{shown}` is a file, and only packages of the index are installed", hint
    return f"`{shown}` is a path or an address", "write `name==version`; files of your own need no line"


def replacement(name: str, version: str | None, base: Mapping[str, str]) -> str:
    """The line to write instead."""
    provided = base.get(canonicalize_name(name))
    if provided is not None:
        return f"write `{name}=={provided.split('+')[0]}`, which the base provides"
    return (
        f"write `{name}=={version}`"
        if version
        else f"write `{name}==VERSION` with the version that you use, or `{name}`"
    )


def version_in_file(url: str) -> str | None:
    """The version in the name of a wheel that an address ends with."""
    try:
        return str(parse_wheel_filename(re.split(r"[/\\]", url.split("#")[0])[-1])[1])
    except InvalidWheelFilename:
        return None
