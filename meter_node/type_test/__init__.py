"""The type test: a meter's errors against the standards' limits. Knows no file and no screen."""

from .report import Report, Result, Subject, every_subject, run, steps

__all__ = ["Report", "Result", "Subject", "every_subject", "run", "steps"]
