"""`python -m scing_cli`, and what the command `scing` starts."""

from scing_cli.app import main

if __name__ == "__main__":
    main()
