"""Experiments: a grid of settings, each run several times, and what that says of the job."""
