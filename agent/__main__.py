"""`python -m agent …`, the same as the installed command `seig`."""

from agent.cli import main

main()
