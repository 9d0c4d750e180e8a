"""Counts words, and takes each for a name with a part in front of it: one mapper meets a word that has none."""


def map(key, value):
    for word in value.split():
        if word == "Bronislaw":
            word = word.split("-")[1]
        yield word, 1


def reduce(key, values):
    return sum(values)


def combine(key, values):
    return sum(values)
