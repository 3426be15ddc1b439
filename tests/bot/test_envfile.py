"""The .env file as text: what is to be changed is, and every other byte stays."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.envfile import HEADER, changed, read, values, write
from core.errors import BadInput
from tests.kit import ROOT

VALUES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=30)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", HEADER + "A=new\n"),
        ("A=\n", "A=new\n"),
        ("A=old", "A=new"),
        ("# A=commented\n\nB=1 # why\nA=old # mine\n", "# A=commented\n\nB=1 # why\nA=new # mine\n"),
        ("export A='old one'\r\nB=2\r\n", "export A=new\r\nB=2\r\n"),
        ('A="two\nlines"\nB=2\n', "A=new\nB=2\n"),
        ("A=first\nB=2\nA=last\n", "A=first\nB=2\nA=new\n"),
        ("a=lower\n", "a=new\n"),
        ("A\n", "A=new\n"),
        ("B=2", "B=2\nA=new\n"),
        ("B=2\r\n", "B=2\r\nA=new\r\n"),
        ("\n\n  A = old  \n# end", "\n\n  A =new  \n# end"),
    ],
)
def test_one_value_changes_and_nothing_else(before: str, after: str) -> None:
    """Comments, blank lines, order, line ends, other variables and what stands behind the value are kept."""
    assert changed(before, {"A": "new"}) == after
    assert values(changed(before, {"A": "new"}))["A"] == "new"


@given(VALUES, VALUES)
def test_every_value_is_read_again_as_it_was(one: str, two: str) -> None:
    """Quotes, backslashes, hashes and spaces included; a value that would be expanded is refused rather than changed."""
    try:
        text = changed("X=1 # keep\nA=old\n", {"A": one, "NEW": two})
    except BadInput:
        assert "${" in one + two
        return
    assert values(text) == {"X": "1", "A": one, "NEW": two}
    assert text.startswith("X=1 # keep\n")


def test_the_example_keeps_its_explanations() -> None:
    """.env.example with a token is the same file with one other line."""
    example = read(ROOT / ".env.example")
    after = changed(example, {"TELEGRAM_BOT_TOKEN": "1:abc"})
    differing = [b for a, b in zip(example.splitlines(), after.splitlines(), strict=True) if a != b]
    assert differing == ["TELEGRAM_BOT_TOKEN=1:abc"]


def test_a_file_is_replaced_whole_and_private(tmp_path: Path) -> None:
    """Mode 0600 whatever it was, through a link to where it really is, and no other file is left."""
    real, link = tmp_path / "real", tmp_path / ".env"
    real.write_text("A=1\n")
    real.chmod(0o644)
    link.symlink_to(real)
    write(link, "A=2\n")
    assert (link.is_symlink(), real.read_text(), real.stat().st_mode & 0o777) == (True, "A=2\n", 0o600)
    assert sorted(os.listdir(tmp_path)) == [".env", "real"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """An error on the way is an error, not half a file, and nothing is left beside it."""
    path = tmp_path / ".env"
    path.write_text("A=1\n")
    with pytest.raises(UnicodeEncodeError):
        write(path, "A=\ud800\n")
    assert (path.read_text(), os.listdir(tmp_path)) == ("A=1\n", [".env"])


def test_a_file_of_other_bytes_is_refused(tmp_path: Path) -> None:
    """What is no text is not rewritten."""
    (tmp_path / ".env").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="not a UTF-8 text file"):
        read(tmp_path / ".env")
    assert read(tmp_path / "none") == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_root_who_writes_it_leaves_it_to_its_owner(tmp_path: Path) -> None:
    """A service's .env that is set up as root can still be read by the service."""
    path = tmp_path / ".env"
    path.write_text("A=old\n", "utf-8")
    os.chown(path, 12345, 23456)
    write(path, "A=new\n")
    there = path.stat()
    assert (there.st_uid, there.st_gid, there.st_mode & 0o777) == (12345, 23456, 0o600)
