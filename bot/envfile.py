"""The .env file as text: what it says, and the same with other values. Whatever is not to be changed stays as it stands, byte for byte."""

import contextlib
import os
import re
import tempfile
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from core.errors import BadInput

HEADER = "# Greenlight's settings, written by `greenlight setup`. `greenlight settings` explains every setting there is.\n"
PLAIN = re.compile(r"[A-Za-z0-9_.:/,@%+=-]*")
_VALUE = re.compile(
    r"""(?P<head>\s*(?:export[^\S\r\n]+)?'?[^=\#\s']+'?[^\S\r\n]*)
        (?:=[^\S\r\n]*(?P<value>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^\r\n]*?))?
        (?P<tail>(?:[^\S\r\n]+\#[^\r\n]*)?[^\S\r\n]*(?:\r\n|\n|\r|$))""",
    re.VERBOSE | re.DOTALL,
)


def read(path: Path) -> str:
    """The text of the file, line ends as they are; empty where there is none. Raises BadInput where it is no text."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not a UTF-8 text file; move it away and start again.") from None


def values(text: str) -> dict[str, str]:
    """The variables of a text with their values, names in capitals; the last line of a name holds."""
    told = dotenv_values(stream=StringIO(text, newline=""))
    return {name.upper(): value or "" for name, value in told.items()}


def changed(text: str, changes: Mapping[str, str]) -> str:
    """The text with these variables set: on the line that holds now, or on a new one at the end.

    Raises BadInput where a value cannot be written down so that it is read again as it is.
    """
    parts = [
        (b.key.upper() if b.key else "", b.original.string) for b in parse_stream(StringIO(text, newline=""))
    ]
    holds = {name: index for index, (name, _) in enumerate(parts)}
    end = "\r\n" if "\r\n" in text else "\n"
    whole = [part for _, part in parts]
    added = []
    for name, value in changes.items():
        old = _VALUE.fullmatch(whole[holds[name]]) if name in holds else None
        if old is None:
            added.append(f"{name}={_written(value)}{end}")
        else:
            whole[holds[name]] = f"{old['head']}={_written(value)}{old['tail']}"
    before = "".join(whole) or HEADER
    if added and not before.endswith(("\n", "\r")):
        before += end
    after = before + "".join(added)
    if values(after) != {**values(text), **changes}:
        raise BadInput(
            f"{', '.join(changes)}: cannot be written into .env beside what is there; do it by hand."
        )
    return after


def write(path: Path, text: str) -> None:
    """Put the text in the place of the file (at the end of a link), for its owner alone: all of it, or nothing and OSError."""
    path = path.resolve()
    handle, new = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # made with mode 0600
    try:
        with open(handle, "wb") as file:
            file.write(text.encode("utf-8"))
            file.flush()
            with contextlib.suppress(FileNotFoundError, PermissionError):
                was = path.stat()  # root who helps somebody out does not take the file away
                os.fchown(handle, was.st_uid, was.st_gid)
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        Path(new).unlink(missing_ok=True)
        raise


def _written(value: str) -> str:
    if PLAIN.fullmatch(value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
