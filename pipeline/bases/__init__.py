"""Bases: Python and packages that a course's images build on, made outside any image and laid in by COPY."""
