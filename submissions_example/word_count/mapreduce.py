"""Map-reduce: how often each word is in a text. A word is what stands between white space."""


def map(key, value):
    """`key` says where a line is, `value` is the line."""
    for word in value.split():
        yield word, 1


def reduce(key, values):
    """`values` is an iterator over all that `map` gave, or `combine`, for the word `key`."""
    return sum(values)


def combine(key, values):
    """On the mapper, of some values of a key: what is summed there already need not be moved."""
    return sum(values)
