"""A function: numbers in, their mean and deviation out."""

import math


def main(params):
    numbers = params["numbers"]
    if not numbers:
        return {"mean": None, "deviation": None}
    mean = math.fsum(numbers) / len(numbers)
    variance = math.fsum((number - mean) ** 2 for number in numbers) / len(numbers)
    return {"mean": mean, "deviation": math.sqrt(variance)}
