"""What the embedded servers keep on disk, and what they make of what a kill or a stranger left there."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.embedded.contract import Usage
from pipeline.embedded.sockets import socket_folder
from pipeline.embedded.usage_book import UsageBook


def test_figures_are_read_again_and_a_torn_line_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "usage.jsonl"
    book = UsageBook(path)
    book.add("guest", [Usage(activation="a", container="c", cpu_s=1.5)])
    book.add("other", [Usage(activation="b", container="c")])
    with path.open("ab") as file:
        file.write(b'["guest", {"activation": "torn", "cont')
    again = UsageBook(path)
    again.add("guest", [Usage(activation="d", container="c", killed_for="memory")])
    found = UsageBook(path).of("guest")
    assert [(one.activation, one.cpu_s, one.killed_for) for one in found] == [("a", 1.5, ""), ("d", 0.0, "memory")]


def test_an_activation_is_counted_once(tmp_path: Path) -> None:
    book = UsageBook(tmp_path / "usage.jsonl")
    for _ in range(2):
        book.add("guest", [Usage(activation="a", container="c")])
    assert len(UsageBook(tmp_path / "usage.jsonl").of("guest")) == len(book.of("guest")) == 1


def test_a_noted_socket_folder_that_is_not_ours_alone_is_not_used(tmp_path: Path) -> None:
    state = tmp_path / ("deep" * 30)
    state.mkdir()
    first = socket_folder(state)
    assert socket_folder(state) == first
    first.chmod(0o777)
    second = socket_folder(state)
    assert second != first
    assert second.stat().st_uid == os.geteuid()
    for folder in (first, second):
        folder.rmdir()
