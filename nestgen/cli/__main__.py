"""`python -m nestgen.cli`."""

from nestgen.cli import main

main()
