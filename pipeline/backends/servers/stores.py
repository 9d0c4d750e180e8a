"""The buckets of a run and of its course, and the keys to them: in the embedded stores, or in one elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Literal, Protocol

from pipeline.backends.servers import StoreAccess
from pipeline.backends.store import Bucket, Key
from pipeline.backends.store.external import ExternalStore, course_bucket, external_store, run_bucket
from pipeline.backends.store.run_keys import RunKeys
from pipeline.backends.store.s3 import connect
from pipeline.embedded import client
from pipeline.embedded.contract import StoreKey
from pipeline.embedded.settings import OutsideStore
from pipeline.embedded.state import State
from pipeline.errors import Outcome
from pipeline.run import Run, Status
from pipeline.source import remove_folder

COURSE_BUCKET = "course"
UNFINISHED = {Outcome.ABORTED, Outcome.INFRASTRUCTURE}
KINDS = ("training", "predict", "mapreduce")
"""Below these a run's objects lie in the course's bucket."""
Which = Literal["course", "run"]


class Stores(Protocol):
    """What `EmbeddedServers` asks of either."""

    @property
    def outside(self) -> OutsideStore | None:
        """Where the supervisor's forwarders lead, if not to stores of its own."""
        ...

    @property
    def run_bucket_name(self) -> str: ...

    def course_bucket(self) -> Bucket: ...

    def course_access(self) -> StoreAccess: ...

    def run_bucket(self) -> Bucket: ...

    def run_key(self, valid_for: timedelta, /) -> Key:
        """Opens the run's bucket and nothing else, for so long at least."""
        ...

    def passing(self, which: Which) -> tuple[StoreKey, ...]:
        """The keys whose requests forwarders to that store let pass."""
        ...

    def left(self) -> bool:
        """Whether there may be something for `clear` to do."""
        ...

    def clear(self) -> None:
        """Removes what nobody needs any more. Harmless when nothing is there."""
        ...


class EmbeddedStores:
    """Two store processes of the run's own, with a key pair each; their folder goes when no resume needs it."""

    outside = None

    def __init__(self, run: Run, embedded: Callable[[], client.Embedded]) -> None:
        self.run = run
        self.embedded = embedded
        self.run_bucket_name = f"run-{run.record.run}"

    def course_bucket(self) -> Bucket:
        keys = self.embedded().course_store()
        return connect(keys.endpoint, keys.access_key, keys.secret_key, COURSE_BUCKET)

    def course_access(self) -> StoreAccess:
        keys = self.embedded().course_store()
        return StoreAccess(keys.endpoint, keys.access_key, keys.secret_key, COURSE_BUCKET)

    def run_bucket(self) -> Bucket:
        keys = self.embedded().run_store()
        return connect(keys.endpoint, keys.access_key, keys.secret_key, self.run_bucket_name)

    def run_key(self, _valid_for: timedelta) -> Key:
        """The store's own pair: it ends with its process, and before with what the forwarder is told."""
        keys = self.embedded().run_store()
        return Key(keys.access_key, keys.secret_key)

    def passing(self, which: Which) -> tuple[StoreKey, ...]:
        if which == "course":
            return (StoreKey(access_key=self.embedded().course_store().access_key),)
        keys = self.embedded().run_store()
        return (StoreKey(access_key=keys.access_key, secret_key=keys.secret_key),)

    @property
    def folder(self) -> Path:
        return State(self.run.servers_folder).store

    def left(self) -> bool:
        return is_over(self.run) and self.folder.exists()

    def clear(self) -> None:
        """A course keeps the folder of every run: shards and checkpoints, by far the most of it, do not stay."""
        if self.left():
            remove_folder(self.folder)


class ExternalStores:
    """A bucket of the course and one of the run in a MinIO; `renewed` is called when the run has another key.

    The course's own key stays with the pipeline: what opens the run's bucket from elsewhere is a temporary key.
    """

    def __init__(self, run: Run, renewed: Callable[[], None]) -> None:
        self.run = run
        self.renewed = renewed
        course = run.record.course.name
        self.course_bucket_name = course_bucket(course)
        self.run_bucket_name = run_bucket(course, run.record.run)
        self.keys = RunKeys(run.store_keys_file, self.make_key)

    @property
    def store(self) -> ExternalStore:
        return external_store(self.run.record.course.servers)

    @property
    def outside(self) -> OutsideStore:
        place = self.store.place
        return OutsideStore(url=place.url, ca_file=place.ca_file)

    def make_key(self, valid_for: timedelta) -> Key:
        return self.store.key_for(self.run_bucket_name, valid_for)

    def course_bucket(self) -> Bucket:
        self.note()
        return self.store.bucket(self.course_bucket_name)

    def course_access(self) -> StoreAccess:
        store = self.store
        return StoreAccess(
            store.place.url, store.key.access_key, store.key.secret_key, self.course_bucket_name, store.place.ca_file
        )

    def run_bucket(self) -> Bucket:
        """With the course's key, which does not expire; URLs are signed with the run's."""
        self.note()
        return self.store.bucket(self.run_bucket_name, signing=self.run_key)

    def run_key(self, valid_for: timedelta) -> Key:
        before = self.keys.valid()
        key = self.keys.lasting(valid_for)
        if key not in before:
            self.renewed()
        return key

    def passing(self, which: Which) -> tuple[StoreKey, ...]:
        if which == "course":
            return (StoreKey(access_key=self.store.key.access_key),)
        if not self.keys.valid():
            self.keys.lasting(timedelta())
        return tuple(
            StoreKey(
                access_key=one.access_key,
                secret_key=one.secret_key,
                session_token=one.session_token,
                expires=one.expires,
            )
            for one in self.keys.valid()
        )

    def note(self) -> None:
        """Before anything of the run lies there: a kill may come at any time."""
        self.run.stored_elsewhere_file.touch(mode=0o600)

    def left(self) -> bool:
        return self.run.stored_elsewhere_file.exists()

    def clear(self) -> None:
        """The run's bucket goes, and is filled anew by a resume; what a resume goes on from goes when there is none."""
        if not self.left():
            return
        self.store.remove(self.run_bucket_name)
        if is_over(self.run):
            for kind in KINDS:
                self.store.remove(self.course_bucket_name, f"{kind}/{self.run.record.run}/")
        self.run.store_keys_file.unlink(missing_ok=True)
        self.run.stored_elsewhere_file.unlink()


def is_over(run: Run) -> bool:
    """Whether no resume needs what was computed."""
    outcome = run.record.outcome
    if outcome is None:
        return run.record.stage("collect").status is Status.DONE
    return outcome not in UNFINISHED
