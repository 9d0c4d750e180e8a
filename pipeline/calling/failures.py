"""Why an activation failed, and whose fault that was."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from pipeline.backends.functions import Activation
from pipeline.errors import InfrastructureError, LimitError, PipelineError, SubmissionError
from pipeline.text import printable

INFRASTRUCTURE = "infrastructure:"
"""How the runner begins what it says of a server that did not answer."""
NOT_STARTED = "The action did not initialize and exited unexpectedly."
"""OpenWhisk's word for a container that went away before /run; the whole sentence, since a student can begin as it."""
NO_MODULE = "ModuleNotFoundError: No module named"
MOST_REASON = 500


@dataclass(frozen=True)
class Failure:
    """Why an activation failed, in one line that the student may see, and whether it may go better another time.

    `limit` names the limit that was met; nothing where it was none.
    """

    reason: str
    error: type[PipelineError] = SubmissionError
    again: bool = True
    hint: str = ""
    limit: Literal["", "memory", "time", "processes"] = ""

    def of(self, name: str) -> PipelineError:
        """The error that says so of the function or worker `name`."""
        return self.error(f"{name}: {self.reason}", hint=self.hint or f"its log is logs/{name}.log")

    @property
    def withheld(self) -> Failure:
        """The same in words of the course's alone: what a process that saw hidden inputs says may carry them out."""
        lost = issubclass(self.error, InfrastructureError)
        reason = "it was lost" if lost else HIDDEN_REASONS.get(self.limit, "the function failed")
        return replace(self, reason=reason, hint=self.hint if lost or self.limit else "")


HIDDEN_REASONS = {
    "memory": "it used more memory than its action has",
    "time": "it met the time limit of its action",
    "processes": "it started too many processes",
}
"""All that a student learns of why a call with hidden inputs failed."""
LOST = Failure("its activation left no record", InfrastructureError, hint="`pipeline resume` tries again")


def failure(record: Activation, *, runner: bool = True) -> Failure:
    """Of an activation that did not succeed: by OpenWhisk's word and by what the runner says of servers.

    Without `runner` the answer is the student's function's own, which is not believed about servers.
    """
    result = record.result
    said = result.get("error") if isinstance(result, dict) else None
    reason = printable(said if isinstance(said, str) else f"it ended with {record.status}")[:MOST_REASON]
    answered = record.status == "application error"
    # no code of the student's runs before /run
    lost = record.status == "whisk internal error" or (reason == NOT_STARTED and not answered)
    if lost or (runner and reason.startswith(INFRASTRUCTURE)):
        return Failure(reason, InfrastructureError, hint="`pipeline resume` tries again")
    if "exhausted its memory" in reason:
        hint = "hold less in memory at a time: smaller batches, layers or parts"
        return Failure("it used more memory than its action has", LimitError, False, hint, "memory")
    if "too many processes" in reason:
        return Failure(
            "it started too many processes", LimitError, False, "start no processes of your own", "processes"
        )
    if record.timed_out or "exceeded its time limits" in reason:
        return Failure("it met the time limit of its action", LimitError, False, "look for endless loops", "time")
    hint = "list the package that has this module in requirements.txt" if NO_MODULE in reason else ""
    return Failure(reason, again=not answered, hint=hint)
