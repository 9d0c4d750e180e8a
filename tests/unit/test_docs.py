"""Docs that are stale fail: links, commands, options, settings, the made pages, and paths of one machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from pipeline.cli import reference
from pipeline.cli.app import command_line
from pipeline.experiments.record import schema_text as experiment_schema_text
from pipeline.kinds import TRAITS
from pipeline.result import schema_text

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
PIPELINE = re.compile(r"(?:^ {4}|`)(?:\.venv/bin/)?pipeline ([a-z][^`\n#]*)", re.MULTILINE)
TARGET = re.compile(r"(?:^ {4}|`)make ([a-z]+)\b", re.MULTILINE)
OF_ONE_MACHINE = re.compile(r"(?<![\w.])/(?:work|root|opt|tmp)/")
named = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(page: Path) -> set[str]:
    """The anchors that a forge makes of headings."""
    headings = re.findall(r"^#+ +(.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@named
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@cache
def commands() -> dict[str, Any]:
    """`run`, `data put`, ... -> the command."""

    def walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
        if hasattr(command, "commands"):
            for name, each in command.commands.items():
                yield from walk(f"{path} {name}".strip(), each)
        else:
            yield path, command

    return dict(walk("", typer.main.get_command(command_line())))


def groups() -> set[str]:
    """The first words of commands that have two, such as `data`."""
    return {path.split()[0] for path in commands() if " " in path}


@named
def test_commands_and_options_that_are_named_exist(page: Path) -> None:
    unknown = []
    for text in PIPELINE.findall(page.read_text()):
        words = text.split()
        path = words[0] if words[0] in commands() else " ".join(words[:2])
        if path not in commands():
            unknown.append(f"pipeline {path}")
            continue
        known = {option for one in commands()[path].params for option in one.opts}
        unknown += [f"pipeline {path} {word}" for word in words if word.startswith("--") and word not in known]
    assert unknown == []


@named
def test_make_targets_that_are_named_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(TARGET.findall(page.read_text())) - targets == set()


@named
def test_no_page_names_paths_of_one_machine(page: Path) -> None:
    assert OF_ONE_MACHINE.findall(page.read_text()) == []


@pytest.mark.parametrize("kind", sorted(TRAITS))
def test_the_settings_of_every_kind_are_explained(kind: str) -> None:
    named_keys = set(re.findall(r"`([a-z_0-9]+)`", (ROOT / "docs" / "settings.md").read_text()))
    traits = TRAITS[kind]
    keys = {*traits.job.model_fields, *traits.data.model_fields, *traits.measures} - {"seed"}
    assert keys - named_keys == set()


@pytest.mark.parametrize(
    ("page", "made"),
    [
        ("command-line.md", reference.text),
        ("result.schema.json", schema_text),
        ("experiment.schema.json", experiment_schema_text),
    ],
    ids=["cli", "schema", "experiment"],
)
def test_made_pages_are_as_they_would_be_made_now(page: str, made: Any) -> None:
    assert (ROOT / "docs" / page).read_text() == made(), "write it anew with: make docs"


def test_the_index_names_every_page() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link).resolve() for link in LINK.findall(index.read_text())}
    assert {page for page in (ROOT / "docs").rglob("*.md") if page != index} - linked == set()
