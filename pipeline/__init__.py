"""The course's side of the pipeline: trusted, never imports `runner`."""

__version__ = "0.1.0"
