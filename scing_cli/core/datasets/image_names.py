"""What the names of several image files have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence


def names_match(names: Sequence[str], pattern: str) -> bool:
    """Return whether most of the names begin with a pattern; true if there are none.

    >>> names_match(["0001_c1_5.jpg", "0002_c1_5.jpg", "cover.jpg"], "[0-9]+_c[0-9]"), names_match(["a.jpg"], "[0-9]")
    (True, False)
    """
    matching = sum(re.match(pattern, name) is not None for name in names)
    return not names or matching > len(names) / 2
