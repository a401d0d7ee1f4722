"""CSV files of users, and their round trip through `write_manifest`."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scing_cli.core.datasets import Dropped, read_data
from scing_cli.core.datasets.listing import system_part
from scing_cli.core.errors import DataError
from scing_cli.core.manifest import COLUMNS, SPLITS, Manifest, Sample, is_junk, write_manifest

# Any text that UTF-8 and a CSV can hold: no lone surrogates, no NUL.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
NASTY = st.sampled_from(
    ["Ünï cödé.jpg", 'a "quoted" word', "comma, here", "two\nlines", "\r", "a\r\nb", " led", "led ", "'", ";\t"]
)
ANY = st.one_of(TEXT, NASTY)
# Path turns "//" into "/" and drops "./": written paths are compared as they are only where no such part stands.
PATHS = st.lists(
    ANY.map(lambda part: part.replace("/", "_")).filter(
        lambda part: (
            part not in {"", ".", ".."}
            and not system_part(part)
            and not part.startswith(("~", "\\\\"))
            and ":" not in part
        )
    ),
    min_size=1,
    max_size=3,
)


@st.composite
def sample_rows(draw: st.DrawFn) -> tuple[Sample, ...]:
    names = draw(
        st.lists(ANY.filter(lambda name: name and name.strip().lower() not in COLUMNS), max_size=3, unique=True)
    )
    rows = st.builds(
        Sample,
        path=PATHS.map("/".join),
        identity=ANY.filter(lambda name: not is_junk(name)),
        camera=ANY,
        split=st.sampled_from(["", *SPLITS]),
        caption=ANY,
        extra=st.tuples(*(st.tuples(st.just(name), ANY) for name in names)),
    )
    return tuple(draw(st.lists(rows, min_size=1, max_size=6, unique_by=lambda row: (row.path, row.split))))


@settings(deadline=None, max_examples=150)
@given(samples=sample_rows())
@example(samples=(Sample("a.jpg", caption="\r"), Sample(" a.jpg", identity='"', camera=",", caption="\n\n")))
def test_what_is_written_is_read_back(samples, tmp_path_factory) -> None:
    folder = tmp_path_factory.getbasetemp()
    target = folder / "rows.csv"
    write_manifest(Manifest(folder, samples, "rows"), target)
    data = read_data(target)
    assert data.manifest == Manifest(folder, samples, "rows")
    assert data.layout == "csv"


@settings(deadline=None, max_examples=60)
@given(samples=sample_rows())
def test_a_manifest_written_elsewhere_leads_to_the_same_files(samples, tmp_path_factory) -> None:
    base = tmp_path_factory.getbasetemp()
    manifest = Manifest(base / "data set" / "Märkte", samples, "rows")
    target = base / "outputs" / "rows.csv"
    write_manifest(manifest, target)
    read = read_data(target).manifest
    assert [file.resolve() for file in read.files()] == [file.resolve() for file in manifest.files()]
    assert [(row.identity, row.camera, row.split, row.caption, row.extra) for row in read] == [
        (row.identity, row.camera, row.split, row.caption, row.extra) for row in samples
    ]


@settings(deadline=None, max_examples=150)
@given(data=st.data(), samples=sample_rows())
def test_every_dialect_says_the_same(data: st.DataObject, samples, tmp_path_factory) -> None:
    """Commas, semicolons or tabs; any quoting; either line end; a byte order mark; columns in any order; rows twice."""
    delimiter, quoting, end = (
        data.draw(st.sampled_from(choices))
        for choices in (
            [",", ";", "\t"],
            [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC],
            ["\n", "\r\n"],
        )
    )
    further = [name for name, _ in samples[0].extra]
    plain = [name for name in further if name == name.strip() and "\n" not in name and "\r" not in name]
    rows = [dataclasses.replace(row, extra=tuple(field for field in row.extra if field[0] in plain)) for row in samples]
    header = data.draw(st.permutations([*COLUMNS, *plain]))
    spelt = {name: data.draw(st.sampled_from([name, name.upper(), f" {name.title()} "])) for name in COLUMNS}
    if any("\r" in text for row in rows for text in (*dataclasses.astuple(row)[:5], *dict(row.extra).values())):
        quoting = csv.QUOTE_ALL  # Python's writer leaves a bare carriage return without quotes otherwise
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, quoting=quoting, lineterminator=end)
    writer.writerow([spelt.get(name, name) for name in header])
    for row in [*rows, *rows[: data.draw(st.integers(0, len(rows)))]]:
        fields = {name: getattr(row, name) for name in COLUMNS} | dict(row.extra)
        writer.writerow([fields[name] for name in header])
    folder = tmp_path_factory.getbasetemp()
    content = "\ufeff" * data.draw(st.booleans()) + buffer.getvalue()
    read = read_data(table(folder, content)).manifest
    order = [name for name in header if name in plain]
    assert list(read) == [
        dataclasses.replace(row, extra=tuple((name, dict(row.extra)[name]) for name in order)) for row in rows
    ]


def table(folder: Path, content: str | bytes) -> Path:
    file = folder / "mine.csv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def test_only_the_path_is_needed(tmp_path: Path) -> None:
    data = read_data(table(tmp_path, "path\na b.jpg\nsub/ü.png\n"))
    assert data.manifest.samples == (Sample("a b.jpg"), Sample("sub/ü.png"))
    assert data.manifest.root == tmp_path
    assert data.manifest.name == "mine"
    assert data.notes == (
        "2 of 2 rows have no identity: they cannot be used for training or scores.",
        "2 of 2 rows have no split: only the split `all` includes them.",
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_byte_order_mark_line_ends_and_blank_lines_do_not_matter(tmp_path: Path, end: str, mark: bytes) -> None:
    text = end.join(["Path, IDENTITY ,split", "a.jpg,7,query", "", "b.jpg,,", ""])
    rows = read_data(table(tmp_path, mark + text.encode())).manifest.samples
    assert rows == (Sample("a.jpg", "7", "", "query"), Sample("b.jpg"))


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_fields_may_be_parted_by_commas_semicolons_or_tabs(tmp_path: Path, mark: str) -> None:
    lines = [["PATH", "identity", "note"], ['"a,b;c\td.jpg"', "7", '"two\nlines"'], ["b.jpg", "8", '""']]
    rows = read_data(table(tmp_path, "\n" + "\n".join(mark.join(line) for line in lines))).manifest.samples
    assert rows == (
        Sample("a,b;c\td.jpg", "7", extra=(("note", "two\nlines"),)),
        Sample("b.jpg", "8", extra=(("note", ""),)),
    )


def test_a_row_that_stands_twice_counts_once(tmp_path: Path) -> None:
    data = read_data(table(tmp_path, "path,identity,split\na.jpg,1,train\nb.jpg,1,train\na.jpg,1,train\n"))
    assert [row.path for row in data.manifest] == ["a.jpg", "b.jpg"]
    assert data.notes == ("1 repeated row is counted once.",)


SPELLINGS = st.sampled_from(["a/x.jpg", "./a/x.jpg", "a//x.jpg", "a/../a/x.jpg", "linked/x.jpg", "{root}/a/x.jpg"])


@settings(max_examples=20)
@given(paths=st.lists(SPELLINGS, min_size=2, max_size=4, unique=True), splits=st.lists(st.sampled_from(SPLITS)))
def test_a_file_under_several_spellings_of_its_path_counts_once_in_each_split(paths, splits, tmp_path_factory) -> None:
    root = tmp_path_factory.mktemp("spelled")
    (root / "a").mkdir()
    (root / "linked").symlink_to("a")
    named = [(path.format(root=root), (*splits, *SPLITS * 2)[place]) for place, path in enumerate(paths)]
    rows = "".join(f"{path},anna,{split}\n" for path, split in named)
    file = root / "m.csv"
    file.write_text(f"path,identity,split\n{rows}b.jpg,anna,query\n")
    data = read_data(file)
    kept = list(dict.fromkeys((named[0][0], "anna", split) for _, split in named))
    assert [(row.path, row.identity, row.split) for row in data.manifest] == [*kept, ("b.jpg", "anna", "query")]
    said = [note for note in data.notes if "under another spelling of its path: counted once." in note]
    assert [int(note.split()[0]) for note in said] == ([len(named) - len(kept)] if len(kept) < len(named) else [])


def test_rows_of_a_file_under_two_spellings_must_agree(tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    file.write_text("path,identity,note\nx.jpg,anna,1\n./x.jpg,ben,1\n./y.jpg,ben,1\ny.jpg,ben,2\n")
    with pytest.raises(DataError) as caught:
        read_data(file)
    assert "x.jpg and ./x.jpg are one file, with the identity 'anna' and 'ben'" in caught.value.what
    assert "./y.jpg and y.jpg are one file, with the note '1' and '2'" in caught.value.what
    assert "leave one of each out" in caught.value.remedy


def test_paths_that_lead_out_of_the_folder_are_read_and_told(tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    data = read_data(
        table(away, f"path,identity,split\n../a.jpg,1,train\n{tmp_path}/b.jpg,2,train\nc/../d.jpg,3,train\n")
    )
    assert data.manifest.files() == [away / "../a.jpg", tmp_path / "b.jpg", away / "c/../d.jpg"]
    assert data.notes == ("2 of 3 paths are outside the file's folder, such as '../a.jpg'.",)


def test_further_columns_are_kept_in_order_and_nameless_ones_are_not(tmp_path: Path) -> None:
    rows = read_data(table(tmp_path, ",path,weather,split,hour,\n0,a.jpg,rain,val,,\n")).manifest.samples
    assert rows == (Sample("a.jpg", split="val", extra=(("weather", "rain"), ("hour", ""))),)


def test_all_faults_are_gathered_with_their_lines(tmp_path: Path) -> None:
    text = (
        'path,identity,split,caption\na.jpg,1,train,"two\nlines"\n,1,train,\nb.jpg,1,test,\nc.jpg,1\na.jpg,2,train,\n'
    )
    with pytest.raises(DataError) as caught:
        read_data(table(tmp_path, text))
    assert str(caught.value).splitlines() == [
        f"{tmp_path / 'mine.csv'} has 4 faults:",
        "  line 4: the path is empty",
        "  line 5: the split 'test' is unknown: mark the test images as query or gallery",
        "  line 6: it has 2 fields, the header 4",
        "  line 7: 'a.jpg' is already in the split train, with other fields, in line 2",
        "Correct these rows. Splits are train, val, query, gallery, or empty.",
    ]


def test_ten_faults_are_shown_and_the_rest_is_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_data(table(tmp_path, "path,split\n" + "".join(f"{number}.jpg,x\n" for number in range(25))))
    text = str(caught.value)
    assert "has 25 faults" in text
    assert text.count("is unknown") == 10
    assert "line 11:" in text
    assert "line 12:" not in text
    assert "... and 15 more" in text


def test_the_same_path_may_stand_in_two_splits(tmp_path: Path) -> None:
    assert len(read_data(table(tmp_path, "path,split\na.jpg,query\na.jpg,gallery\n")).manifest) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image,identity\na.jpg,1\n", r"has no column `path`; its columns are: 'image', 'identity'"),
        ("image;split\na.jpg;query\n", r"has no column `path`; its columns are: 'image', 'split'"),
        ("", r"has no column `path`; it is empty"),
        ("\n\n", r"it is empty"),
        ("path,split\n", r"has a header but no rows"),
        ("path,split,Split\na.jpg,,\n", r"has the column `split` more than once"),
        ('path\n"a.jpg\n', r"is not a CSV: line 2: unexpected end of data"),
        ('path\n"a"b.jpg\n', r"is not a CSV: line 2: ',' expected"),
        ("path\na\0b.jpg\n", r"is not a CSV: line 2: it contains a NUL character"),
        (b"path\nM\xfcller.jpg\n", r"(?s)is not UTF-8 text \(byte 0xfc\)\..*Save it as CSV in UTF-8"),
        ("path\na.jpg\n".encode("utf-16"), r"is not UTF-8 text \(byte 0xff\)"),
        ("path\n" + "x" * 200_000, r"line 2: field larger than field limit"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_data(table(tmp_path, content))
    assert str(tmp_path / "mine.csv") in caught.value.what


def test_further_columns_have_a_message_that_says_what_is_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Columns read here: path, identity, camera, split, caption"):
        read_data(table(tmp_path, "a,b\n"))


def test_rows_marked_as_unreadable_are_left_out_with_their_reason(tmp_path: Path) -> None:
    text = "path,identity,split,unreadable_reason,note\na.jpg,1,train,,x\nb.jpg,1,train,is empty (0 bytes),y\n"
    data = read_data(table(tmp_path, text))
    assert data.manifest.samples == (Sample("a.jpg", "1", split="train", extra=(("note", "x"),)),)
    assert data.dropped == (Dropped("b.jpg", "is empty (0 bytes)"),)
    assert "Rows marked as unreadable are left out: train 1." in data.notes
    kept = read_data(tmp_path / "mine.csv", keep_unreadable=True)
    assert [(row.path, row.extra) for row in kept.manifest] == [
        ("a.jpg", (("note", "x"),)),
        ("b.jpg", (("note", "y"),)),
    ]
    assert kept.dropped == ()


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_first_line_of_a_spreadsheet_says_what_parts_the_fields(tmp_path: Path, mark: str) -> None:
    text = f"sep={mark}\r\npath{mark}identity\r\na.jpg{mark}anna\r\nb.jpg{mark}ben{mark}x\r\n"
    with pytest.raises(DataError, match="line 4: it has 3 fields, the header 2"):
        read_data(table(tmp_path, text))
    data = read_data(table(tmp_path, text.replace(f"{mark}x", "")))
    assert [(row.path, row.identity) for row in data.manifest] == [("a.jpg", "anna"), ("b.jpg", "ben")]


def test_paths_of_windows_and_paths_that_lead_out_are_said(tmp_path: Path) -> None:
    data = read_data(table(tmp_path, "path\ncrops\\a.jpg\n..b/c.jpg\n../d.jpg\n/e.jpg\n"))
    assert data.notes[-2:] == (
        "1 path such as 'crops\\\\a.jpg': separate folders by /, not by \\.",
        "2 of 4 paths are outside the file's folder, such as '../d.jpg'.",
    )


def test_a_column_of_ones_own_called_unreadable_is_kept(tmp_path: Path) -> None:
    data = read_data(table(tmp_path, "path,unreadable\na.jpg,no\n"))
    assert data.manifest.samples == (Sample("a.jpg", extra=(("unreadable", "no"),)),)


def test_splits_are_known_in_any_letters_and_names_nearly_alike_are_said(tmp_path: Path) -> None:
    data = read_data(table(tmp_path, "path, identity, split\na.jpg,ben, Train\nb.jpg, Ben,QUERY\n"))
    assert [row.split for row in data.manifest] == ["train", "query"]
    (warning,) = data.warnings
    assert warning == (
        "' Ben' and 'ben' are counted as different people, but are spelled nearly alike: each spelling is a person of "
        "its own. If they are the same, spell them alike."
    )


def test_a_header_without_path_is_shown_column_by_column(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="its columns are: 'file', 'pid', 'camera'"):
        read_data(table(tmp_path, "file;pid;camera\na.jpg;1;2\n"))


@pytest.mark.parametrize(("fields", "hint"), [("a,One", False), ("a,Two", True), ("b,Two", False)])
def test_further_captions_on_a_line_of_their_own_are_told_where_they_belong(tmp_path: Path, fields, hint) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(f"path,identity,caption\na.jpg,a,One\na.jpg,{fields}\n")
    if fields == "a,One":
        assert len(read_data(file).manifest) == 1
        return
    with pytest.raises(DataError) as caught:
        read_data(file)
    assert ("in line 2: write further captions of an image into the columns caption_2" in caught.value.what) == hint
