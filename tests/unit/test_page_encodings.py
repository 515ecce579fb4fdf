"""Which form of a file a browser gets, by what its Accept-Encoding says."""

import pytest

from serve.gateway.page.encodings import chosen

ALL = ("identity", "br", "gzip")


@pytest.mark.parametrize(
    ("accept", "available", "wanted"),
    [
        ("", ALL, "identity"),
        ("gzip, deflate, br, zstd", ALL, "br"),
        ("gzip, deflate", ALL, "gzip"),
        ("x-gzip", ALL, "gzip"),
        ("GZIP;Q=0.5", ALL, "gzip"),
        ("br;q=0.5, gzip;q=0.8", ALL, "gzip"),
        ("br;q=0, gzip", ALL, "gzip"),
        ("br;q=0, *", ALL, "gzip"),
        ("*", ALL, "br"),
        ("*;q=0", ALL, "identity"),
        ("br;q=0, gzip;q=0", ALL, "identity"),
        ("identity, br;q=0.1", ALL, "identity"),
        ("identity;q=0.5, br;q=0.5", ALL, "br"),
        ("br", ("identity", "gzip"), "identity"),
        ("br, gzip", ("identity",), "identity"),
        ("zstd", ALL, "identity"),
        ("br;q=nonsense, gzip;q=2, deflate", ALL, "identity"),
        ("br;q=nan", ALL, "identity"),
        (",,;q=1,", ALL, "identity"),
        ("gzip;level=1;q=0.3, br;q=0.2", ALL, "gzip"),
    ],
)
def test_the_encoding_is_the_one_that_the_client_likes_best(accept: str, available: tuple[str, ...], wanted: str):
    assert chosen(accept, available) == wanted
