"""Refusals of the REST API: a status and a text, as the real server words them."""

from __future__ import annotations

from http import HTTPStatus

UNKNOWN_RESOURCE = "The requested resource could not be found."
NO_SUCH_ENTITY = "The requested resource does not exist."
ALREADY_EXISTS = "resource already exists"
OTHER_COLLECTION = "Resource by this name exists but is not in this collection."
NO_AUTHENTICATION = "The resource requires authentication, which was not supplied with the request"
WRONG_AUTHENTICATION = "The supplied authentication is invalid"


class ApiError(Exception):
    """A request that is refused. `handled` answers carry CORS headers, those of parsing do not."""

    def __init__(self, status: int, text: str, *, handled: bool = True) -> None:
        super().__init__(text)
        self.status, self.text, self.handled = status, text, handled


def unknown_resource() -> ApiError:
    """A path or method that the API does not have."""
    return ApiError(HTTPStatus.NOT_FOUND, UNKNOWN_RESOURCE, handled=False)


def no_such_entity() -> ApiError:
    return ApiError(HTTPStatus.NOT_FOUND, NO_SUCH_ENTITY)


def malformed(text: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, f"The request content was malformed:\n{text}", handled=False)


def malformed_query(name: str, text: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, f"The query parameter '{name}' was malformed:\n{text}", handled=False)


def illegal(text: str) -> ApiError:
    """A name or an id that cannot be one."""
    return ApiError(HTTPStatus.BAD_REQUEST, text, handled=False)


def refused(text: str) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, text)


def forbidden(path: str) -> ApiError:
    return ApiError(HTTPStatus.FORBIDDEN, f"The supplied authentication is not authorized to access '{path}'.")


def too_large(what: str, size: int, allowed: int) -> ApiError:
    return ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{what} larger than allowed: {size} > {allowed} bytes.")


def too_many(text: str) -> ApiError:
    return ApiError(HTTPStatus.TOO_MANY_REQUESTS, text)
