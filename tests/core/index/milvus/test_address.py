import pytest
from hypothesis import given
from hypothesis import strategies as st

from scing_cli.core.errors import IndexFileError
from scing_cli.core.index.milvus.address import NAME, Address
from scing_cli.core.paths import engine_of, named_location


@pytest.mark.parametrize(
    ("text", "uri", "database", "collection"),
    [
        ("milvus://host/people", "http://host:19530", "", "people"),
        ("milvus://host:1234/people", "http://host:1234", "", "people"),
        ("milvus://10.0.0.1:1/shop/_people2", "http://10.0.0.1:1", "shop", "_people2"),
        ("milvus://[::1]:19530/people/", "http://[::1]:19530", "", "people"),
        ("milvus+tls://cloud.example:443/people", "https://cloud.example:443", "", "people"),
        ("Milvus://host/people", "http://host:19530", "", "people"),
        ("milvus://./gallery.db", "./gallery.db", "", "gallery"),
        ("milvus:///srv/a.db/people", "/srv/a.db", "", "people"),
        ("milvus://a.db.d/b.db", "a.db.d/b.db", "", "gallery"),
        ("milvus://./me@home/b.db", "./me@home/b.db", "", "gallery"),
    ],
)
def test_an_address_names_a_server_or_a_file_and_a_collection(text, uri, database, collection):
    found = Address.parse(text)
    assert (found.uri, found.database, found.collection) == (uri, database, collection)
    assert (found.file is None) == ("://" in uri)
    assert named_location(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "milvus://",
        "milvus:///people",
        "milvus://host",
        "milvus://host/",
        "milvus://host/1st",
        "milvus://host/a-b",
        "milvus://host/a/b/c",
        "milvus://host:port/people",
        "milvus://host:99999/people",
        "milvus://host/people?x=1",
        'milvus://host/a" or "b',
        "milvus://ho st/people",
        "milvus+ssh://host/people",
        f"milvus://host/{'a' * 256}",
    ],
)
def test_what_is_no_address_is_refused_with_the_forms_of_one(text):
    with pytest.raises(IndexFileError) as caught:
        Address.parse(text)
    assert "milvus://HOST:PORT/COLLECTION" in str(caught.value.remedy)


@pytest.mark.parametrize(
    "text",
    [
        "milvus://me:secret@host/people",
        "milvus://me:secret@my.dbhost/people",
        "milvus://me:sec/secret@host/people",
        "milvus://me:secret@host/people.db",
        "milvus+tls://me:secret@host.db.example/people",
        "milvus://host/people@secret@host",
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(text):
    with pytest.raises(IndexFileError) as caught:
        Address.parse(text)
    assert "secret" not in f"{caught.value.what}{caught.value.remedy}"
    assert "SCING_MILVUS_TOKEN" in caught.value.remedy


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(rest):
    try:
        found = Address.parse(f"milvus://{rest}")
    except IndexFileError:
        return
    assert NAME.fullmatch(found.collection)


def test_only_text_with_a_known_beginning_is_an_address():
    assert engine_of("gallery.faiss") is None
    assert engine_of("http://host/people") is None
    assert engine_of("milvus.faiss") is None
    assert str(named_location("gallery.faiss")) == "gallery.faiss"
