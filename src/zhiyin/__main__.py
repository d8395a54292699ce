"""`python -m zhiyin` is `zhiyin`."""

from zhiyin.cli import main

main()
