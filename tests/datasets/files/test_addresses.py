"""Ids of videos in their addresses."""

import pytest

from retake.datasets.files.addresses import youtube_id


@pytest.mark.parametrize(
    "address",
    [
        "https://www.youtube.com/watch?v=fFjv93ACGo8",
        "https://www.youtube.com/watch?t=3&v=fFjv93ACGo8&list=x",
        "https://youtu.be/fFjv93ACGo8",
        "https://youtu.be/fFjv93ACGo8?si=x ",
    ],
)
def test_ids(address: str) -> None:
    assert youtube_id(address) == "fFjv93ACGo8"


@pytest.mark.parametrize("address", ["", "x", "http://[x", "https://youtu.be/", "https://a.org/b"])
def test_none(address: str) -> None:
    assert youtube_id(address) is None
