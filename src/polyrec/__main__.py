"""`python -m polyrec`."""

from polyrec.cli.main import main

if __name__ == "__main__":  # not in a process that a suite starts
    main()
