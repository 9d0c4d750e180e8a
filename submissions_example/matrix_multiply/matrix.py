"""Blocked multiplication: one block of the product is the sum of products of blocks."""

import numpy as np


def worker(task, blocks):
    """Block (row, column) of a times b; `task["inner"]` pairs of blocks are summed up, one pair in memory at a time."""
    total = np.zeros(task["shape"], np.float32)
    for k in range(task["inner"]):
        total += left(blocks, task["row"], k) @ blocks["b", k, task["column"]]
    return total


kept = {}


def left(blocks, row, k):
    """A block of the left operand, fetched once for the whole row: the next task most often needs the same ones."""
    if kept.get("row") != row:
        kept.clear()
        kept["row"] = row
    if k not in kept:
        kept[k] = blocks["a", row, k]
    return kept[k]
