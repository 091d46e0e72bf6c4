"""`python -m polyrec`."""

from polyrec.cli import main

main()
