"""`python -m services.cli` is `dewpoint`."""

from services.cli import main

main()
