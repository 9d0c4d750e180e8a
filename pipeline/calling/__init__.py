"""Invoking functions until each has ended: what every kind of job but parameter-server training is made of."""
