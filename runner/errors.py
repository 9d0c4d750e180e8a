"""What the runner answers instead of a result. Each message is one line and names its input and what to do."""

from __future__ import annotations

from typing import Any


class RunnerError(Exception):
    """The root: becomes `{"error": message, "code": code}`, which OpenWhisk takes for an application error."""

    code = 500
    infrastructure = False
    """Whether a server or the network is at fault: the pipeline then tries again, and blames no student."""

    @property
    def message(self) -> str:
        return f"infrastructure: {self}" if self.infrastructure else str(self)

    def answer(self) -> dict[str, Any]:
        return {"error": self.message, "code": self.code}


class ParameterError(RunnerError):
    """A parameter of the invocation is missing or wrong."""


class TransferError(RunnerError):
    """An object could not be fetched or stored."""


class NoAnswerError(TransferError):
    """The store did not answer, or refused, however often it was asked."""

    infrastructure = True


class ImageError(RunnerError):
    """What lies at a URL may not be fetched, or is no picture that can be read."""

    code = 400


class NoImageError(ImageError):
    """A server did not give the picture: no address, no connection, no answer in time, another status than 200."""

    infrastructure = True


class FormatError(RunnerError):
    """Bytes that are not what they should be: arrays, an archive, a data set."""


class DeviceError(RunnerError):
    """The device that was asked for is not here."""


class StudentError(RunnerError):
    """The student's code lacks something, or raised; the traceback is on stderr already."""
