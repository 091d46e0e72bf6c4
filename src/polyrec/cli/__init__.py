"""The command line: one file a command, each a few lines over the library."""

from polyrec.cli.main import main

__all__ = ["main"]
