"""Execution against communication, measured from outside: a table of the report."""

from __future__ import annotations

from pipeline.backends.servers import Traffic
from pipeline.figures import Listed
from pipeline.reporting.words import count, seconds, size


def traffic_table(traffic: Traffic, together_s: float) -> Listed:
    """From records of activations, whose seconds are `together_s` in all, and from the forwarder to the store."""
    executing = max(0.0, together_s - traffic.seconds)
    return Listed(
        title="Execution and communication",
        columns=("", "seconds", "requests", "sent", "received"),
        rows=(
            ("functions, together", seconds(together_s), "–", "–", "–"),
            (
                "of it with the store",
                seconds(traffic.seconds),
                count(traffic.requests),
                size(traffic.bytes_sent),
                size(traffic.bytes_received),
            ),
            ("of it executing or waiting for others", seconds(executing), "–", "–", "–"),
        ),
        caption="Seconds in which requests to the store were under way; those of functions that run at once add up.",
    )
