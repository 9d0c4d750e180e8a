"""What a worker has done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Tally:
    """Seconds; `losses` is the sum over batches, `wait_s` what the worker waited for others."""

    steps: int = 0
    samples: int = 0
    losses: float = 0.0
    compute_s: float = 0.0
    communication_s: float = 0.0
    wait_s: float = 0.0

    def exchanged(self, seconds: float, waited_s: float) -> None:
        self.wait_s += waited_s
        self.communication_s += max(0.0, seconds - waited_s)
