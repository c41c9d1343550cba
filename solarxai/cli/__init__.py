"""The command line: words in, results out; everything heavy is imported when it is needed.

Results go to standard output, progress and errors to standard error. Exit codes: 0 done, 1 a check
fails, 2 could not run, 130 interrupted.
"""

from __future__ import annotations

import sys

import typer

from solarxai.cli import _catalogs, _keeping, _making, _reading, _validating
from solarxai.cli._application import app
from solarxai.cli._telling import tell

__all__ = ["app", "main"]

_COMMANDS = (_making, _reading, _validating, _keeping, _catalogs)
"""Modules whose import puts their commands on the line."""

_INTERRUPTED = 130


def main() -> None:
    """Run the command line, with one sentence and a cure for every error it knows."""
    words = sys.argv[1:]
    debug = "--debug" in words
    if debug:
        words.remove("--debug")
    try:
        code = app(args=words, prog_name="solarxai", standalone_mode=False)
    except Exception as error:
        if debug:
            raise
        sys.exit(tell(error))
    if code == _INTERRUPTED:
        typer.echo("solarxai: interrupted; the same command goes on from here", err=True)
    sys.exit(code if isinstance(code, int) else 0)
