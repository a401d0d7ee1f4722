"""`python -m scing_cli`, and what the command `scing` starts."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is still being imported is quiet too."""
    try:
        from scing_cli.app import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
