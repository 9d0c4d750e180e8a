"""A request that is refused: nothing was changed, and the worker is told why."""

from __future__ import annotations

from pipeline.errors import PipelineError


class RefusalError(PipelineError):
    """An answer other than success. `reason` is one word of the table in docs/parameter-server.md."""

    def __init__(self, status: int, reason: str, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s
