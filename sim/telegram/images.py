"""What a picture is and how large, read from its first bytes. Pure."""

import struct

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}


def image_type(data: bytes) -> str | None:
    """The media type of a PNG, JPEG, GIF or WebP; None for anything else, whatever its sender calls it."""
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for signature, kind in _SIGNATURES.items() if data.startswith(signature)), None)


def image_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels; None where the data is no picture, or a broken one."""
    try:
        match image_type(data):
            case "image/png":
                width, height = struct.unpack_from(">II", data, 16)
            case "image/gif":
                width, height = struct.unpack_from("<HH", data, 6)
            case "image/jpeg":
                width, height = _jpeg_size(data)
            case "image/webp":
                width, height = _webp_size(data)
            case _:
                return None
    except struct.error:  # it ends too early
        return None
    return (width, height) if width and height else None


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """The size in the first start-of-frame segment, (0, 0) where something else stands in its place."""
    position = 2
    while True:
        mark, marker, length = struct.unpack_from(">BBH", data, position)
        if mark != 0xFF:
            return 0, 0
        if marker == 0xFF:  # a fill byte
            position += 1
        elif marker in range(0xC0, 0xD0) and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, position + 5)
            return width, height
        else:
            position += 2 + length


def _webp_size(data: bytes) -> tuple[int, int]:
    """The size in the first chunk: lossy, lossless, or the head of an extended file. (0, 0) for any other chunk."""
    match data[12:16]:
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", data, 21)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", data, 24)
            return (high_w << 16 | low_w) + 1, (high_h << 16 | low_h) + 1
        case _:
            return 0, 0
