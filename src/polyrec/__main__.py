"""`polyrec`, and `python -m polyrec`."""

import os
import signal
import sys

CODE = 130  # what shells give for a command that Ctrl-C ended


def main() -> None:
    """Run the command line, which Ctrl-C and SIGTERM end in words while it is still being loaded, too."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, _stop)
    from polyrec.cli.main import main as run

    run()


def _stop(number: int, frame: object) -> None:
    """End at once, for no command has begun or all is done: an error might be lost within what is half loaded."""
    del number, frame
    sys.stderr.write("polyrec: interrupted.\n")
    sys.stderr.flush()
    os._exit(CODE)


if __name__ == "__main__":  # not in a process that a suite starts
    main()
