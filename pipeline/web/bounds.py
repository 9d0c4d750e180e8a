"""How many may hold a thread for long: nobody's live logs or followed pushes keep others from the pages."""

from __future__ import annotations

import threading
from collections import Counter


class Bound:
    """At most `most` at a time, `each` of one visitor. Who is turned away gets the short form of the same answer."""

    def __init__(self, most: int, each: int) -> None:
        self.most, self.each = most, each
        self.held: Counter[str] = Counter()
        self.lock = threading.Lock()

    def take(self, who: str) -> bool:
        """Whether there was room; then `give_back` must follow."""
        with self.lock:
            if self.held.total() >= self.most or self.held[who] >= self.each:
                return False
            self.held[who] += 1
            return True

    def give_back(self, who: str) -> None:
        with self.lock:
            self.held[who] -= 1
            if not self.held[who]:
                del self.held[who]
