"""A run's names and keys in a store elsewhere."""

from __future__ import annotations

import stat
import time
from datetime import timedelta
from pathlib import Path

import certifi
import pytest

from pipeline.backends.store import Key
from pipeline.backends.store.external import course_bucket, external_store, run_bucket
from pipeline.backends.store.run_keys import RunKeys
from pipeline.errors import CourseError
from pipeline.run import new_run_id
from pipeline.settings import Servers

HOUR = timedelta(hours=1)


class Maker:
    """Makes keys as a store does, and remembers for how long."""

    def __init__(self) -> None:
        self.asked: list[timedelta] = []

    def __call__(self, valid_for: timedelta) -> Key:
        self.asked.append(valid_for)
        return Key(f"key-{len(self.asked)}", "secret", "token", time.time() + valid_for.total_seconds())


def test_a_key_is_made_anew_when_it_would_not_last(tmp_path: Path) -> None:
    maker = Maker()
    keys = RunKeys(tmp_path / "keys.json", maker)
    assert keys.valid() == ()
    first = keys.lasting(HOUR)
    assert keys.lasting(HOUR) == first
    assert RunKeys(tmp_path / "keys.json", maker).lasting(timedelta(minutes=1)) == first, "a later process finds it"
    second = keys.lasting(3 * HOUR)
    assert second != first
    assert keys.valid() == (first, second), "what was handed out opens until it expires"
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600


def test_no_key_is_asked_for_longer_than_the_store_gives(tmp_path: Path) -> None:
    maker = Maker()
    keys = RunKeys(tmp_path / "keys.json", maker)
    keys.lasting(timedelta(days=30))
    assert maker.asked == [timedelta(days=7)]


def test_a_key_that_has_expired_is_forgotten(tmp_path: Path) -> None:
    keys = RunKeys(tmp_path / "keys.json", lambda _: Key("old", "secret", "token", time.time() - 1))
    keys.lasting(HOUR)
    assert keys.valid() == ()


@pytest.mark.parametrize("course", ["a", "x" * 63, "distributed-machine-learning-2026"])
def test_names_of_buckets_are_valid_and_no_course_s_are_another_s(course: str) -> None:
    own, run = course_bucket(course), run_bucket(course, new_run_id())
    assert 3 <= len(own) <= 63
    assert 3 <= len(run) <= 63
    assert run.startswith(f"run.{own.removeprefix('course.')}.")
    assert course_bucket(f"{course[:40]}-b") != own


@pytest.mark.parametrize("content", ["", "no colon", ":secret", "access:", "two:keys\nin:lines", "\xff"])
def test_a_file_without_a_key_is_the_course_s_fault_and_is_not_shown(content: str, tmp_path: Path) -> None:
    file = tmp_path / "store.auth"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(CourseError, match=r"store\.auth") as caught:
        external_store(Servers(store_endpoint="https://minio.example:9000", store_auth_file=file))
    assert not content or content not in str(caught.value)


def test_a_store_is_asked_as_its_address_says(tmp_path: Path) -> None:
    file = tmp_path / "store.auth"
    file.write_text("ACCESS:SECRET\n")
    trusted = Path(certifi.where())
    settings = Servers(store_endpoint="https://minio.example:9000", store_auth_file=file, store_ca_file=trusted)
    store = external_store(settings)
    assert (store.place.endpoint, store.place.secure, store.place.ca_file) == ("minio.example:9000", True, trusted)
    assert store.key == Key("ACCESS", "SECRET")
    assert "SECRET" not in repr(store.key)


@pytest.mark.parametrize(
    "endpoint", ["minio.example:9000", "ftp://minio.example", "http://user:pw@minio", "http://a/b"]
)
def test_an_address_that_is_none_is_refused(endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="store_endpoint"):
        Servers(store_endpoint=endpoint, store_auth_file=tmp_path)


def test_a_store_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="store_auth_file"):
        Servers(store_endpoint="http://minio.example:9000")
