"""Picture sizes from first bytes."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.telegram.images import image_size, image_type
from tests.sim.telegram_kit import PNG

JPEG = (
    b"\xff\xd8\xff\xe0"
    + struct.pack(">H", 16)
    + b"JFIF"
    + b"\0" * 10
    + b"\xff\xc2"
    + struct.pack(">HBHH", 17, 8, 480, 640)
)


@pytest.mark.parametrize(
    ("data", "kind", "size"),
    [
        (PNG, "image/png", (2, 1)),
        (JPEG, "image/jpeg", (640, 480)),
        (b"GIF89a" + struct.pack("<HH", 7, 9), "image/gif", (7, 9)),
        (PNG[:20], "image/png", None),
        (JPEG[:24], "image/jpeg", None),
        (b"<html>", None, None),
        (b"", None, None),
    ],
)
def test_type_and_size(data: bytes, kind: str | None, size: tuple[int, int] | None) -> None:
    assert (image_type(data), image_size(data)) == (kind, size)


@given(st.binary(max_size=60).map(lambda rest: b"\xff\xd8\xff" + rest))
def test_broken_pictures_have_no_size_and_do_no_harm(data: bytes) -> None:
    size = image_size(data)
    assert size is None or min(size) > 0
