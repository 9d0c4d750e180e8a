"""Web actions: what an action is told of a request, and what its result becomes."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from pipeline.embedded.openwhisk.errors import ApiError
from pipeline.embedded.openwhisk.web_request import WebRequest
from pipeline.embedded.openwhisk.web_response import answer_as


def request(body: bytes = b"", kind: str = "", query: str = "") -> WebRequest:
    headers = {"host": "h", "content-length": str(len(body)), **({"content-type": kind} if kind else {})}
    return WebRequest("POST", headers, "/rest", query, body)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (request(query="a=1&b=x+y&a=2&c"), {"a": "2", "b": "x y", "c": ""}),
        (request(b'{"a": 1}', "application/json", "a=0&b=1"), {"a": 1, "b": "1"}),
        (request(b"a=1&b=%20", "application/x-www-form-urlencoded; charset=utf-8"), {"a": "1", "b": " "}),
        (request(b"[1]", "application/json"), {"__ow_body": [1]}),
        (request(b"null", "application/ld+json"), {"__ow_body": None}),
        (request(b"text", "text/plain"), {"__ow_body": "text"}),
        (request(b"<a/>", "application/xml"), {"__ow_body": "<a/>"}),
        (request(b"\xff\x00", "image/png"), {"__ow_body": "/wA="}),
        (request(b"\xff\x00"), {"__ow_body": "/wA="}),
    ],
)
def test_query_and_body_become_arguments(asked: WebRequest, given: dict[str, Any]) -> None:
    arguments = asked.arguments(asked.content(10))
    told = {"__ow_method": "post", "__ow_path": "/rest"}
    headers = arguments.pop("__ow_headers")
    assert (headers["host"], "content-length" in headers) == ("h", False)
    assert arguments == {**told, **given}


def test_raw_arguments_are_what_was_sent() -> None:
    arguments = request(b'{"a": 1}', "application/json", "a=1&b").raw_arguments()
    assert (arguments["__ow_query"], base64.b64decode(arguments["__ow_body"])) == ("a=1&b", b'{"a": 1}')
    assert request().raw_arguments()["__ow_body"] == ""


def test_only_named_parameters_can_be_refused() -> None:
    asked = request(b"text", "text/plain", "a=1")
    assert asked.names(asked.content(10)) == {"a"}
    form = request(b"__ow_user=x", "application/x-www-form-urlencoded", "a=1")
    assert form.names(form.content(10)) == {"a", "__ow_user"}


@pytest.mark.parametrize("body", [b"{", b"[" * 20 + b"]" * 20])
def test_json_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError, match="malformed"):
        request(body, "application/json").content(10)


@pytest.mark.parametrize(
    ("extension", "result", "status", "kind", "body"),
    [
        (".json", {"a": 1}, 200, "application/json", b'{"a":1}'),
        (".json", [1], 200, "application/json", b"[1]"),
        (".html", {"html": "<p>"}, 200, "text/html; charset=UTF-8", b"<p>"),
        (".svg", {"body": "<svg/>", "svg": "x"}, 200, "image/svg+xml", b"<svg/>"),
        (".text", {"body": 1.5}, 200, "text/plain; charset=UTF-8", b"1.5"),
        (".text", {"text": {"a": True}}, 200, "text/plain; charset=UTF-8", b'{\n  "a": true\n}'),
        (".text", [], 200, "text/plain; charset=UTF-8", b"[]"),
        (".http", {}, 204, "", b""),
        (".http", {"statusCode": 202, "body": ""}, 202, "", b""),
        (".http", {"body": "<p>"}, 200, "text/html; charset=UTF-8", b"<p>"),
        (".http", {"body": {"a": 1}, "statusCode": "201"}, 201, "application/json", b'{"a":1}'),
        (".http", {"body": "YWJj", "headers": {"content-type": "image/png"}}, 200, "image/png", b"abc"),
        (".http", {"body": "YWJj", "headers": {"content-type": "application/json"}}, 200, "application/json", b"abc"),
        (".http", {"body": "a,b", "headers": {"Content-Type": "text/csv"}}, 200, "text/csv; charset=UTF-8", b"a,b"),
    ],
)
def test_results_become_answers(extension: str, result: Any, status: int, kind: str, body: bytes) -> None:
    answer = answer_as(extension, result)
    assert (answer.status, answer.media_type, answer.body) == (status, kind, body)


def test_headers_are_passed_on_but_those_of_the_connection() -> None:
    headers = {"Location": "/x", "Set-Cookie": ["a=1", "b=2"], "X-N": 3, "X-B": True, "Content-Length": "9"}
    answer = answer_as(".http", {"statusCode": 302, "headers": headers})
    assert answer.headers == (
        ("Location", "/x"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("X-N", "3"),
        ("X-B", "true"),
    )


@pytest.mark.parametrize(
    ("extension", "result", "error"),
    [
        (".json", "text", "Response is not valid 'application/json'."),
        (".html", {"a": 1}, "Response is not valid 'text/html'."),
        (".svg", 1, "Response is not valid 'image/svg+xml'."),
        (".text", {"a": 1}, "Response does not include requested property."),
        (".http", [1], "Response is not valid 'message/http'."),
        (".http", {"statusCode": 999}, "Response is not valid 'message/http'."),
        (".http", {"statusCode": 101}, "Response is not valid 'message/http'."),
        (".http", {"statusCode": True}, "Response is not valid 'message/http'."),
        (".http", {"statusCode": "x"}, "Response is not valid 'message/http'."),
        (".http", {"headers": {"a": "b\r\nX-Evil: 1"}}, "Response is not valid 'message/http'."),
        (".http", {"headers": {"a b": "c"}}, "Response is not valid 'message/http'."),
        (".http", {"headers": {"a": {}}}, "Response is not valid 'message/http'."),
        (".http", {"body": "x", "headers": {"content-type": "none"}}, "Response did not specify a known content-type."),
        (
            ".http",
            {"body": "no base64!", "headers": {"content-type": "image/png"}},
            "Response type in header did not match generated content type.",
        ),
        (
            ".http",
            {"body": {"a": 1}, "headers": {"content-type": "text/html"}},
            "Response type in header did not match generated content type.",
        ),
    ],
)
def test_results_that_are_no_such_answer_are_refused(extension: str, result: Any, error: str) -> None:
    with pytest.raises(ApiError) as refusal:
        answer_as(extension, result)
    assert refusal.value.text == error
