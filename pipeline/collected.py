"""What comes back from activations, made fit to keep: bounded, printable, without secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.backends.functions import Activation
from pipeline.files import write_json, write_text
from pipeline.run import Run
from pipeline.text import printable

HEAD_BYTES = 512 * 1024
TAIL_BYTES = 512 * 1024
SIGNATURES = re.compile(r"(X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s\"']+")


def keep_record(run: Run, record: Activation) -> None:
    """The activation's record, private: results of predictions are staff's."""
    if not re.fullmatch(r"[0-9a-f]{32}", record.id):
        return
    write_json(run.activations / f"{record.id}.json", vars(record), mode=0o600)


def keep_logs(path: Path, lines: Iterable[str], secrets: Sequence[str]) -> None:
    """Log lines as a text file: head and tail kept with the count of dropped bytes between, secrets masked."""
    text = "\n".join(printable(masked(line, secrets)) for line in lines) + "\n"
    write_text(path, bounded(text))


def masked(text: str, secrets: Sequence[str]) -> str:
    """`text` without tokens and signatures of URLs."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[masked]")
    return SIGNATURES.sub(r"\1[masked]", text)


def bounded(text: str, head: int = HEAD_BYTES, tail: int = TAIL_BYTES) -> str:
    """At most `head` + `tail` bytes of UTF-8, the middle replaced by a line that says how much is gone."""
    content = text.encode()
    if len(content) <= head + tail:
        return text
    dropped = len(content) - head - tail
    first, last = content[:head].decode(errors="ignore"), content[-tail:].decode(errors="ignore")
    return f"{first}\n... {dropped} bytes dropped ...\n{last}"
