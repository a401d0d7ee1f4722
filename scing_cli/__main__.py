"""The entry point of the command `scing` and of `python -m scing_cli`."""

import sys

from scing_cli.environment import follow_the_launcher, is_launched, make_usable, start_in_utf8


def main() -> None:
    """Run the command line; Ctrl-C during its import exits without a traceback too."""
    start_in_utf8()
    warnings = make_usable()
    if is_launched():
        follow_the_launcher()
    try:
        from scing_cli.app import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run(warnings)


if __name__ == "__main__":
    main()
