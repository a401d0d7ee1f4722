import re

from hypothesis import given
from hypothesis import strategies as st

from scing_cli.core.index import RowFilter
from scing_cli.core.index.milvus.expressions import LISTED, among, both, passing

names = st.frozensets(st.text(max_size=12), max_size=4)
PART = r'(camera|identity)_key (not )?in \[("[0-9a-f]{32}"(, )?)+\]'


@given(names, names, names, names)
def test_no_name_stands_in_an_expression(cameras, identities, without_cameras, without_identities):
    text = passing(RowFilter(cameras, identities, without_cameras, without_identities))
    given_names = [some for some in (cameras, identities, without_cameras, without_identities) if some]
    assert text.count(" in [") == len(given_names)
    assert not text or re.fullmatch(rf"{PART}( and {PART})*", text)


def test_long_lists_are_cut():
    values = range(2 * LISTED + 1)
    inside, outside = among("id", values), among("id", values, inside=False)
    assert inside.count("id in [") == 3 == outside.count("id not in [")
    assert inside.startswith("(")
    assert inside.count(" or ") == 2 == outside.count(" and ")
    assert sorted(map(int, re.findall(r"\d+", inside))) == list(values)


def test_without_a_filter_nothing_is_asked():
    assert passing(None) == passing(RowFilter()) == both("", "") == ""
