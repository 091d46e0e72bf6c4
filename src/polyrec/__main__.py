"""`python -m polyrec`."""

from polyrec.cli.main import main

main()
