"""Forgets to accumulate: each product takes the place of the one before it."""


def worker(task, blocks):
    for k in range(task["inner"]):
        block = blocks["a", task["row"], k] @ blocks["b", k, task["column"]]
    return block
