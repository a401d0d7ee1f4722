"""Published counts of data sets with captions."""

from __future__ import annotations

import dataclasses

import pytest

from scing_cli.core.datasets.captioned_counts import CAPTIONED, WHOLE, compare_captioned
from scing_cli.core.datasets.published_counts import PartCount
from scing_cli.core.layouts import LAYOUTS


def total(parts) -> PartCount:
    return PartCount(*(sum(getattr(part, field.name) for part in parts) for field in dataclasses.fields(PartCount)))


@pytest.mark.parametrize("name", CAPTIONED)
def test_published_counts_fit_themselves_and_other_numbers_do_not(name: str) -> None:
    published = CAPTIONED[name]
    assert published.layout in LAYOUTS
    assert published.source
    whole = total(published.parts.values())
    found = compare_captioned(published.parts, whole, layout=published.layout)
    assert (found.name, found.differences) == (name, ())
    for part, count in published.parts.items():
        fewer = dataclasses.replace(count, images=count.images - 1, captions=count.captions - 2)
        other = {**published.parts, part: fewer}
        found = compare_captioned(other, total(other.values()), layout=published.layout)
        (difference,) = found.differences
        assert (found.name, difference.part) == (name, part)
        assert f"{fewer.images:,} images (published: {count.images:,})" in difference.text
        assert f"{fewer.captions:,} captions (published: {count.captions:,})" in difference.text
        assert difference.sure == (name != "CUHK-PEDES")


def test_the_totals_are_those_of_the_papers() -> None:
    totals = {name: total(published.parts.values()) for name, published in CAPTIONED.items()}
    assert (totals["CUHK-PEDES"].identities, totals["CUHK-PEDES"].images) == (13_003, 40_206)
    assert totals["CUHK-PEDES"].captions == 80_440
    assert (totals["ICFG-PEDES"].identities, totals["ICFG-PEDES"].images) == (4_102, 54_522)
    assert (totals["RSTPReid"].identities, totals["RSTPReid"].images) == (4_101, 20_505)


def test_without_val_its_counts_are_added_to_those_of_train() -> None:
    parts = CAPTIONED["RSTPReid"].parts
    joint = {"train": PartCount(3_901, 19_505, 15, 39_010), "gallery": parts["gallery"]}
    found = compare_captioned(joint, total(joint.values()), layout="rstpreid")
    assert (found.parts, found.differences) == (joint, ())
    found = compare_captioned({"gallery": parts["gallery"]}, parts["gallery"], layout="rstpreid")
    assert [each.part for each in found.differences] == ["train"]


def test_counts_of_a_whole_data_set_tell_two_of_one_layout_apart() -> None:
    for name in ("UFine6926", "UFine3C"):
        whole = CAPTIONED[name].parts[WHOLE]
        found = compare_captioned({"gallery": whole}, whole, layout="ufine6926")
        assert (found.name, found.differences) == (name, ())
