"""What containers print, split into activations: nothing mixed up, nothing without bound."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from pipeline.embedded.openwhisk.logs import SENTINEL, LogBuffer, LogLine

END = SENTINEL + b"\n"


def texts(lines: tuple[LogLine, ...], stream: str = "stdout") -> list[str]:
    return [line.text for line in lines if line.stream == stream]


@given(st.lists(st.integers(1, 30), max_size=40))
def test_lines_are_whole_however_the_stream_is_cut(cuts: list[int]) -> None:
    data = b"first\nsecond \xc3\xa9\n\nlast\n" + END

    async def run() -> tuple[LogLine, ...]:
        buffer = LogBuffer()
        buffer.begin(1000)
        rest = data
        for cut in cuts:
            buffer.feed("stdout", rest[:cut])
            rest = rest[cut:]
        buffer.feed("stdout", rest)
        buffer.feed("stderr", END)
        return await buffer.take(60)

    assert texts(asyncio.run(run())) == ["first", "second é", "", "last"]


def test_an_activation_ends_when_both_streams_do() -> None:
    async def run() -> None:
        buffer = LogBuffer()
        buffer.begin(1000)
        buffer.feed("stdout", b"a\n" + END)
        taking = asyncio.create_task(buffer.take(60))
        await asyncio.sleep(0.05)
        assert not taking.done()
        buffer.feed("stderr", b"b\nlast without a newline")
        buffer.close("stderr")
        lines = await taking
        assert (texts(lines), texts(lines, "stderr")) == (["a"], ["b", "last without a newline"])

    asyncio.run(run())


def test_a_program_that_shows_no_sentinel_is_not_waited_for() -> None:
    async def run() -> None:
        buffer = LogBuffer()
        buffer.begin(1000)
        buffer.feed("stdout", b"a\n")
        assert texts(await buffer.take(0.01)) == ["a"]
        buffer.begin(1000)
        buffer.feed("stdout", b"b\n" + END)
        buffer.feed("stderr", END)
        assert texts(await buffer.take(60)) == ["b"]

    asyncio.run(run())


def test_the_limit_keeps_the_head_and_says_what_was_dropped() -> None:
    async def run() -> None:
        buffer = LogBuffer()
        buffer.begin(20)
        buffer.feed("stdout", b"0123456789\n" * 5 + END)
        buffer.feed("stderr", END)
        lines = await buffer.take(60)
        assert texts(lines) == ["0123456789"]
        assert "limit of 20 bytes; 44 bytes were dropped" in texts(lines, "stderr")[0]
        buffer.begin(0)
        buffer.feed("stdout", b"hidden\n" + END)
        buffer.feed("stderr", END)
        assert await buffer.take(60) == ()

    asyncio.run(run())


def test_a_line_without_end_costs_no_memory() -> None:
    async def run() -> None:
        buffer = LogBuffer()
        buffer.begin(100_000)
        for _ in range(100):
            buffer.feed("stdout", b"x" * 100_000)
        buffer.close("stdout")
        buffer.close("stderr")
        lines = await buffer.take(60)
        assert sum(len(text) for text in texts(lines)) <= 100_000
        assert "were dropped" in texts(lines, "stderr")[0]

    asyncio.run(run())


def test_a_line_is_in_openwhisks_form() -> None:
    line = LogLine(1_795_393_089_286_655_200, "stderr", "text")
    assert str(line) == "2026-11-23T00:18:09.286655200Z stderr: text"
