"""The spool at its worst: broken files, thousands of entries, changes within one tick of the clock."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from support.submissions import entry

from pipeline.errors import InfrastructureError
from pipeline.submissions.entry import Entry, State
from pipeline.submissions.spool import Spool, parsed
from pipeline.submissions.staff import retry


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b'{"id": 3}', b"null"])
def test_a_broken_file_stops_nobody_elses(spool: Spool, text: bytes) -> None:
    broken, whole = entry("ada"), entry("bob")
    spool.add(broken)
    spool.add(whole)
    path = spool.active_folder / f"{broken.id}.json"
    path.write_bytes(text)
    assert spool.active() == [whole]
    assert [one.name for one in spool.faults] == [path.name]
    assert not spool.add(broken)
    with pytest.raises(InfrastructureError, match="is no entry"):
        spool.find(broken.id)
    path.unlink()
    assert spool.active() == [whole]
    assert not spool.faults
    assert spool.add(broken)


def test_a_list_from_memory_is_as_new_as_the_folder(spool: Spool) -> None:
    """Two spools on one folder, as the pages and the dispatcher have them."""
    other, entries = Spool(spool.folder), [entry("ada", number, number) for number in range(1, 200)]
    for number, one in enumerate(entries, start=1):
        assert other.add(one)
        assert len(spool.active()) == number
        assert other.change(one.id, lambda old: old.model_copy(update={"reason": "x"}))
        assert spool.active()[-1].reason == "x"
    other.change(entries[0].id, lambda old: old.model_copy(update={"state": State.REFUSED}))
    assert len(spool.active()) == len(entries) - 1
    assert len(spool.over()) == 1


def test_who_looks_again_reads_no_file_again(spool: Spool) -> None:
    for number in range(1, 20):
        spool.add(entry("ada", number, number))
    spool.active()
    read = parsed.cache_info().misses
    assert len(Spool(spool.folder).active()) == 19
    assert parsed.cache_info().misses == read


@pytest.mark.parametrize("written", [False, True])
def test_a_kill_while_a_submission_is_tried_again_leaves_one_of_it(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    one, write = entry(state=State.REFUSED), spool.write
    spool.add(one)
    spool.active()

    def killed(folder: Path, changed: Entry) -> None:
        if written:
            write(folder, changed)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
        patched.setattr(spool, "write", killed)
        retry(spool, one.id)
    assert [one.state for one in [*spool.active(), *spool.over()]] == [State.WAITING if written else State.REFUSED]
