"""The command line's door into the running bot: a unix socket beside its database, for its owner alone.

One line in (`halt`), plain lines back, then it closes. It needs neither Telegram nor the broker nor room on the disk at the moment of asking, and
nothing that comes through it can harm the bot: a line too long, silence, a crowd and an act that fails are each answered or ended in time.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from core.errors import GreenlightError

log = logging.getLogger(__name__)

LONGEST = 103
"""What every system takes as the name of a socket, in bytes."""
LINE_BYTES, ANSWER_BYTES = 200, 1_000_000
AT_ONCE = 8
LINE_SECONDS, WRITE_SECONDS = 2.0, 2.0
ACT_SECONDS = 20.0
"""How long a caller is kept waiting for an act; the act itself goes on."""
LOOK_SECONDS = 2.0
"""How soon a door that was taken away is there again, in seconds."""
LISTENS = hasattr(socket, "AF_UNIX")

HEARD, DONE, FAILED = "heard", "done", "failed"
"""The first line of every answer, and its last: without that one it was cut off."""


class Unheard(GreenlightError):
    """Nobody took the word, so nothing was done."""


class Unanswered(GreenlightError):
    """Somebody took the word, and how it ended is not known. `heard` where the bot said that it begins."""

    def __init__(self, message: str, heard: bool) -> None:
        super().__init__(message)
        self.heard = heard


def door_of(database: Path) -> Path:
    """Where the bot with this database listens: beside it, or where that name is too long for a socket in a small folder of its own."""
    beside = os.path.abspath(database) + ".door"
    if len(os.fsencode(beside)) <= LONGEST:
        return Path(beside)
    # Not tempfile.gettempdir(): it tries folders by writing to them, so on a full disk it would look elsewhere than the bot did.
    named = hashlib.sha256(os.fsencode(beside)).hexdigest()[:16]
    return Path(os.environ.get("TMPDIR") or "/tmp") / f"greenlight-{named}" / "door"


# --- the bot's side -------------------------------------------------------------------------------------------------------


async def keep(path: Path, acts: Mapping[str, Callable[[], Awaitable[Sequence[str]]]]) -> None:
    """Listen beside the database `path` for as long as the bot runs; each word does its act, which returns what to print.

    An act that was begun is never ended by who asked for it, and who asks for the same meanwhile hears how that one ends. An act
    must not wait for the whole of its work: after 20 seconds its caller is told that it is still under way.
    """
    if not LISTENS:
        log.warning("this system has no unix sockets, so the command line cannot speak with the running bot")
        return
    door = door_of(path)
    callers: set[asyncio.Task[None]] = set()
    working: dict[str, asyncio.Task[Sequence[str]]] = {}

    async def work(word: str) -> Sequence[str]:
        log.warning("%s was asked for from the command line", word)
        return await acts[word]()

    async def answer(word: str) -> tuple[Sequence[str], bool]:
        """What there is to say, and whether the act was done."""
        if word not in working or working[word].done():
            working[word] = asyncio.create_task(work(word), name=f"console {word}")
            working[word].add_done_callback(_tell)
        act = working[word]
        # This leaves the act alone, whatever becomes of who waits.
        await asyncio.wait({act}, timeout=ACT_SECONDS)
        if not act.done():
            return [f"{word} is under way, and has not ended within {ACT_SECONDS:.0f} seconds."], False
        if act.cancelled():
            return ["Greenlight is just stopping."], False
        match act.exception():
            case None:
                return act.result(), True
            case GreenlightError() as problem:
                return [str(problem)], False
            case problem:
                what = type(problem).__name__
                return [f"{word} met an error of the program ({what}); the log has it."], False

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(callers) > AT_ONCE:
            return await _say(writer, ["Too many ask at once. Try again in a moment."], False)
        try:
            async with asyncio.timeout(LINE_SECONDS):
                line = await reader.readline()
        except ValueError:
            return await _say(writer, [f"That is too long. Right would be one of: {', '.join(acts)}."], False)
        word = line.decode("utf-8", "replace").strip()
        if word not in acts:
            known = f"The running Greenlight knows no {word[:40]!a} here; it knows: {', '.join(acts)}."
            return await _say(writer, [known] if word else ["Nothing was asked."], False)
        writer.write(f"{HEARD}\n".encode())
        return await _say(writer, *await answer(word))

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (TimeoutError, OSError) as problem:
            log.info("somebody came to the door and went: %s", problem or "nothing was asked in time")
        except Exception:
            log.exception("the door could not answer")

    def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = asyncio.create_task(attend(reader, writer))
        callers.add(caller)
        caller.add_done_callback(callers.discard)
        caller.add_done_callback(lambda _: writer.close())  # also of one that was ended before it began

    server: asyncio.Server | None = None
    mark, told = (0, 0), ""
    try:
        while True:
            try:
                # In a thread, so that a disk that hangs holds up nothing.
                if server is None or await asyncio.to_thread(_mark, door) != mark:
                    _shut(server, door, mark)
                    server = None
                    mark, opened = _bind(door, apart=_is_apart(door, path))
                    server = await asyncio.start_unix_server(take, sock=opened, limit=LINE_BYTES)
                told = ""
            except OSError as problem:
                if str(problem) != told:
                    log.warning("the command line cannot speak with this bot at %s: %s", door, problem)
                told = str(problem)
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        _shut(server, door, mark)
        if _is_apart(door, path):
            with contextlib.suppress(OSError):
                door.parent.rmdir()
        left = [*callers, *working.values()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _tell(act: asyncio.Task[Sequence[str]]) -> None:
    """An act that failed is in the log, whether somebody still waits for it or not."""
    problem = None if act.cancelled() else act.exception()
    if isinstance(problem, GreenlightError):
        log.warning("%s: %s", act.get_name(), problem)
    elif problem is not None:
        log.error("%s failed", act.get_name(), exc_info=problem)


async def _say(writer: asyncio.StreamWriter, lines: Sequence[str], done: bool) -> None:
    said = [line for text in lines for line in text.splitlines()]
    writer.write(
        "".join(f"{line}\n" for line in [*said, DONE if done else FAILED]).encode("utf-8", "replace")
    )
    async with asyncio.timeout(WRITE_SECONDS):
        await writer.drain()


def _is_apart(door: Path, database: Path) -> bool:
    return door.parent != Path(os.path.abspath(database)).parent


def _bind(door: Path, apart: bool) -> tuple[tuple[int, int], socket.socket]:
    """A socket at `door` for our eyes alone, and its mark. Raises OSError with what is in the way."""
    if apart:
        with contextlib.suppress(FileExistsError):
            door.parent.mkdir(mode=0o700)
        _check_folder(door.parent, {os.geteuid()})
    with contextlib.suppress(FileNotFoundError):
        there = door.lstat()
        if not stat.S_ISSOCK(there.st_mode) or there.st_uid != os.geteuid():
            raise OSError("what lies there is no socket of ours; move it away")
        door.unlink()  # of a bot that was killed: we have the database, so there is no other
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        opened.bind(str(door))
        door.chmod(0o600)  # nobody can be in before this: it listens only later
        return _mark(door), opened
    except BaseException:
        opened.close()
        raise


def _mark(door: Path) -> tuple[int, int]:
    """Which file it is; none where there is none. Raises OSError."""
    try:
        there = door.lstat()
    except FileNotFoundError:
        return (0, 0)
    return there.st_dev, there.st_ino


def _shut(server: asyncio.Server | None, door: Path, mark: tuple[int, int]) -> None:
    if server is not None:
        server.close()
    with contextlib.suppress(OSError):
        if _mark(door) == mark:
            door.unlink(missing_ok=True)


def _check_folder(folder: Path, owners: set[int]) -> None:
    there = folder.lstat()
    if not stat.S_ISDIR(there.st_mode) or there.st_uid not in owners or there.st_mode & 0o077:
        raise OSError(f"{folder} is not a folder for its owner alone; remove it")


# --- the caller's side ----------------------------------------------------------------------------------------------------


def ask(path: Path, word: str, seconds: float) -> list[str]:
    """What the bot with the database `path` says to this word; it has so many seconds to show that it listens, and then 25 to end.

    Raises Unheard where nobody took the word, Unanswered where its end is not known, GreenlightError where the bot says why not.
    """
    if not LISTENS:
        raise Unheard("This system has no unix sockets, so a running Greenlight cannot be spoken with.")
    door = door_of(path)
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as line:
        line.settimeout(seconds)
        try:
            _check(door, path)
            line.connect(str(door))
        except (FileNotFoundError, ConnectionRefusedError):
            raise Unheard(f"Nobody listens at {door}.") from None
        except PermissionError:
            raise GreenlightError(
                f"{door} is not for this user. Run this as the user that Greenlight runs as."
            ) from None
        except (BlockingIOError, TimeoutError):
            raise Unheard(f"Nobody opens at {door}.") from None
        except OSError as problem:
            raise Unheard(f"{door} cannot be used: {problem.strerror or problem}.") from None
        return _answer(line, word, seconds)


def _answer(line: socket.socket, word: str, seconds: float) -> list[str]:
    got = b""
    try:
        # It may have said why not, and gone, before it heard the word.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            line.sendall(f"{word}\n".encode())
        while len(got) < ANSWER_BYTES and (more := line.recv(4096)):
            got += more
            if got.startswith(f"{HEARD}\n".encode()):
                line.settimeout(ACT_SECONDS + 5)
    except TimeoutError:
        if not got.startswith(f"{HEARD}\n".encode()):
            raise Unanswered(f"It does not answer within {seconds:g} seconds.", heard=False) from None
    except OSError:
        pass  # it went away; what it said before tells how far it came
    said = got.decode("utf-8", "replace").splitlines()
    heard = said[:1] == [HEARD]
    lines, end = said[heard:-1], said[-1] if said else ""
    if end == DONE:
        return lines
    if end != FAILED or not lines:
        if heard:
            raise Unanswered(f"It began with {word}, and then said nothing of how that ended.", heard=True)
        raise Unheard("It went away before it took the word.")
    raise (GreenlightError if heard else Unheard)("\n".join(lines))


def _check(door: Path, database: Path) -> None:
    """What lies there must be of us, or of whoever the database belongs to: else somebody could say that all is done. Raises OSError."""
    owners = {os.geteuid()}
    with contextlib.suppress(OSError):
        owners.add(database.stat().st_uid)
    if _is_apart(door, database):
        _check_folder(door.parent, owners)
    there = door.lstat()
    if not stat.S_ISSOCK(there.st_mode) or there.st_uid not in owners:
        raise OSError("it is no socket of this Greenlight")
