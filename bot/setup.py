"""`greenlight setup`: asks for what is missing in .env, looks at each answer as the doctor does, and writes the file once, at the end.

Nothing is written before the last answer, so whoever leaves earlier leaves the file as it was. What the environment sets wins over
.env: it is looked at like the rest, but neither asked nor written.
"""

import asyncio
import getpass
import json
import logging
import os
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from telegram import Bot, Update
from telegram.error import Conflict, TelegramError

from bot import doctor, envfile, gate, inbox
from bot.doctor import Finding, Mark
from bot.settings import Settings, SettingsError, of
from bot.transport import AiohttpRequest
from core import ib_messages
from core.errors import BadInput
from core.model import Mode
from core.ports import Clock

log = logging.getLogger(__name__)
T = TypeVar("T")

TOKEN, USERS, KEY, MODEL = (
    "TELEGRAM_BOT_TOKEN",
    "TELEGRAM_ALLOWED_USERS",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_MODEL",
)
ACCOUNT = "IBKR_ACCOUNT_ID"
BROKER = {
    "IBKR_HOST": "Host of TWS or IB Gateway",
    "IBKR_PORT": "Its API port (TWS 7497 paper, 7496 live; Gateway 4002 paper, 4001 live)",
    "IBKR_CLIENT_ID": "Client id of this program",
    ACCOUNT: "Account, where the login has several",
}
FIRST_ASKED = ("IBKR_HOST", "IBKR_PORT")
ASKED = (TOKEN, USERS, *BROKER, KEY)
SECRETS = (TOKEN, KEY)
NOBODY = "1:abc"
"""A token that stands in where only other settings are looked at."""
WAITING_SECONDS = 120.0
POLL_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who wrote to the bot in private."""

    user: int
    name: str
    said: str


class Setup:
    """The dialogue about one file. `environment` is what wins over it; `waiting_seconds` is how long a first message is waited for."""

    def __init__(
        self,
        path: Path,
        environment: Mapping[str, str],
        clock: Clock,
        waiting_seconds: float = WAITING_SECONDS,
    ) -> None:
        self._path, self._clock, self._waiting_seconds = path, clock, waiting_seconds
        self._outside = {n.upper(): v for n, v in environment.items() if n.lower() in Settings.model_fields}
        self._text = ""
        self._values: dict[str, str] = {}
        self._changes: dict[str, str] = {}
        self._bad: set[str] = set()
        self._left: list[str] = []
        self._offset: int | None = None
        self._loop = asyncio.Runner()  # never closed: a name server that does not answer would hold it

    def run(self) -> int:
        """Hold it. Returns the exit code: 0 where everything was found in order, 1 where something is left, 130 where it was given up."""
        try:
            self._take_stock()
            self._ask_for_token()
            self._ask_for_users()
            self._ask_for_broker()
            self._ask_for_key()
            return self._write()
        except (KeyboardInterrupt, EOFError):
            print(f"\nGiven up. Nothing was written: {self._path} is as it was.")
            return 130
        except BadInput as problem:
            print(f"{Mark.BAD} {problem}")
            return 1
        except OSError as problem:
            print(f"{Mark.BAD} {self._path}: {problem.strerror}. Nothing was written: it is as it was.")
            return 1

    # --- what is there ------------------------------------------------------------------------------------------------

    def _take_stock(self) -> None:
        """Read the file. Raises BadInput with what has to be put right by hand before anything can be asked."""
        self._text = envfile.read(self._path)
        folder = self._path.resolve().parent
        if not os.access(folder, os.W_OK):
            raise BadInput(f"{folder} is not ours to write; start this where .env may be written.")
        known = {n: v for n, v in envfile.values(self._text).items() if n.lower() in Settings.model_fields}
        self._values = {n: v for n, v in known.items() if v or n not in ASKED} | self._outside
        print(
            f"Greenlight asks for what is missing in {self._path.resolve()}, looks at each answer, and writes the file at the end.\n"
            "Ctrl-C leaves it as it is. Secrets are not shown while you type.\n"
        )
        by_hand = []
        for line in self._mistakes({TOKEN: NOBODY} | self._values):
            name = line.partition(":")[0]
            if name in self._outside:
                by_hand.append(f"{line} (The environment sets it, and wins over .env: put it right there.)")
            elif name in ASKED:
                print(f"{Mark.NOTE} {line}. It is asked anew.")
                del self._values[name]
                self._bad.add(name)
            else:
                by_hand.append(line)
        if by_hand:
            raise BadInput(
                "\n".join([*by_hand, "Put that right by hand and start again; nothing was written."])
            )

    def _mistakes(self, values: Mapping[str, str]) -> list[str]:
        try:
            of(values)
        except SettingsError as wrong:
            return str(wrong).splitlines()
        return []

    def _settings(self) -> Settings:
        return of({TOKEN: NOBODY} | self._values)

    def _set(self, name: str, value: str) -> None:
        self._values[name] = self._changes[name] = value

    # --- the four pieces ----------------------------------------------------------------------------------------------

    def _ask_for_token(self) -> None:
        print("1 of 4: the bot. In Telegram, ask @BotFather for one (/newbot) and for its token.")
        while True:
            if TOKEN not in self._values:
                self._set(TOKEN, self._answer(TOKEN, "Token"))
            found = self._await(doctor.look_at_telegram(self._settings(), self._clock))[:-1]
            self._good(found)
            bad = {one.what for one in found if one.mark is Mark.BAD}
            if "Telegram" in bad:
                again = self._again("Telegram", TOKEN)
            elif doctor.WEBHOOK in bad:
                again = self._without_webhook()
            else:
                self._left += bad
                return
            if not again:
                return

    def _without_webhook(self) -> bool:
        """A webhook keeps messages from the bot: whether to look again, after it was removed or not."""
        choice = self._choice(
            {
                "again": "look again",
                "remove": "remove it (what uses it hears no more)",
                "leave": "go on with it",
            }
        )
        if choice == "remove":
            try:
                self._await(doctor.remove_webhook(self._settings()))
            except TelegramError as problem:
                self._good([Finding(Mark.BAD, doctor.WEBHOOK, f"it is not removed ({problem.message}).")])
        elif choice == "leave":
            self._left.append(doctor.WEBHOOK)
        return choice != "leave"

    def _ask_for_users(self) -> None:
        print("\n2 of 4: who may use it.")
        if users := self._settings().telegram_allowed_users:
            self._good([Finding(Mark.FINE, "Allowed users", f"{', '.join(map(str, users))}.")])
            return
        if USERS in self._outside:
            self._good(
                [Finding(Mark.NOTE, "Allowed users", f"nobody; the environment sets {USERS}, and wins.")]
            )
            return
        question = "Press Enter, then write anything to your bot; or type your user id; or skip"
        while True:
            if running := doctor.runs(self._settings()):
                # Two that fetch messages take them from each other.
                question = "A Greenlight is running and hears your bot: write /whoami to it, and type the id that it answers; or skip"
            said = self._ask(question)
            if running and not said:
                continue
            if said == "skip":
                told = "nobody; the bot will answer your first message with your id, which belongs there."
                self._good([Finding(Mark.NOTE, "Allowed users", told)])
                self._left.append(USERS)
                return
            if said and (wrong := self._mistakes({TOKEN: NOBODY, USERS: said})):
                print(*wrong, sep="\n")
            elif said or (said := self._person_who_writes()):
                self._set(USERS, said)
                self._good([Finding(Mark.FINE, "Allowed users", f"{said}.")])
                return

    def _person_who_writes(self) -> str:
        """The id of the next person who writes and is allowed; "" where it came to nothing."""
        print(f"Waiting up to {self._waiting_seconds:.0f} seconds for your message.", flush=True)
        heard = self._await(self._listen())
        if isinstance(heard, Finding):
            self._good([heard])
            return ""
        print(doctor.plain(f"{heard.name} (id {heard.user}) wrote: {heard.said}"))
        if self._ask("Is that you, and may this id trade with your account? (yes or no)").lower() in (
            "y",
            "yes",
        ):
            return str(heard.user)
        self._offset = (self._offset or 0) + 1
        print("Not allowed.")
        return ""

    def _ask_for_broker(self) -> None:
        print(
            "\n3 of 4: TWS or IB Gateway. It should be running, logged in to a paper account, with its API enabled."
        )
        new = not self._values.keys() & BROKER.keys()
        self._ask_where(tuple(n for n in BROKER if n in self._bad or (new and n in FIRST_ASKED)))
        while True:
            print("Looking at it, for half a minute at most.", flush=True)
            found = self._await(doctor.look_at_broker(self._settings(), self._clock))
            if self._good(found):
                return
            if self._took_account(found[0].choices):
                continue
            match self._choice(
                {"again": "look again", "change": "change host, port, id or account", "leave": "go on"}
            ):
                case "change":
                    self._ask_where(tuple(BROKER))
                case "leave":
                    self._left.append("TWS")
                    return

    def _took_account(self, accounts: tuple[str, ...]) -> bool:
        """Whether one of the accounts that the login has was chosen, where the choice is ours and there is one."""
        if not accounts or ACCOUNT in self._outside:
            return False
        for number, account in enumerate(accounts, 1):
            whose = "PAPER" if ib_messages.mode(account) is Mode.PAPER else "LIVE: real money"
            print(doctor.plain(f"  {number}: {account}, {whose}"))
        told = {str(number): account for number, account in enumerate(accounts, 1)}
        while said := self._ask("Which account? Its number or its name; Enter for none of them"):
            if chosen := told.get(said) or (said.upper() if said.upper() in accounts else ""):
                self._set(ACCOUNT, chosen)
                return True
            print(f"{said} is none of them.")
        return False

    def _ask_where(self, names: tuple[str, ...]) -> None:
        for name in names:
            now = str(getattr(self._settings(), name.lower()))
            if name in self._outside:
                print(f"{name} is {now}: the environment sets it, and wins.")
            else:
                self._set(name, self._answer(name, BROKER[name], now))

    def _ask_for_key(self) -> None:
        print("\n4 of 4: the model, for /analyze. Everything else works without it.")
        while True:
            if KEY not in self._values:
                self._set(KEY, self._answer(KEY, "Anthropic API key, or Enter for none"))
            found = self._await(doctor.look_at_model(self._settings(), self._clock))
            more = {} if MODEL in self._outside else {"model": "type the name of another model"}
            if self._good(found) or not self._again("Model", KEY, more):
                return

    def _write(self) -> int:
        """The end: the file, once, and what is left to do."""
        print()
        was = envfile.values(self._text)
        changes = {n: v for n, v in self._changes.items() if was.get(n, "") != v}
        if changes:
            envfile.write(self._path, envfile.changed(self._text, changes))
            print(
                f"{Mark.FINE} {self._path.resolve()} is written ({', '.join(changes)}), for you alone to read."
            )
        else:
            if self._path.exists():
                self._path.chmod(0o600)
            print(f"{Mark.FINE} {self._path.resolve()} has everything already.")
        if self._left:
            print(
                f"Not in order yet: {', '.join(self._left)}. greenlight setup again, or greenlight doctor, says more."
            )
            return 1
        print("Start it with: greenlight run")
        return 0

    # --- asking and looking -------------------------------------------------------------------------------------------

    async def _listen(self) -> Person | Finding:
        """The next person who writes in private, or why there is none. Their message is left for the bot to answer."""
        settings = self._settings()
        request, unused = AiohttpRequest(), AiohttpRequest()
        chat = Bot(
            settings.telegram_bot_token.get_secret_value(),
            base_url=f"{settings.telegram_api_url}/bot",
            request=unused,
            get_updates_request=request,
        )
        try:
            async with asyncio.timeout(self._waiting_seconds):
                while True:
                    for number, raw in (await inbox.fetch(chat, self._offset, POLL_SECONDS)).items():
                        self._offset = number
                        if person := _person(raw, chat):
                            return person
                        self._offset = number + 1
        except TimeoutError:
            return Finding(Mark.NOTE, "Telegram", "nobody wrote in this time.")
        except Conflict as problem:
            told = f"another program fetches this bot's messages ({problem.message}). Stop it, or ask it with /whoami and type the id."
            return Finding(Mark.BAD, "Telegram", told)
        except TelegramError as problem:
            told = f"no answer from {settings.telegram_api_url} ({problem.message})."
            return Finding(Mark.BAD, "Telegram", told)
        finally:
            await request.shutdown()
            await unused.shutdown()

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(work)

    def _good(self, findings: list[Finding]) -> bool:
        """Show them; whether all of them will do."""
        secrets = [self._values.get(name, "") for name in SECRETS]
        for found in doctor.together(findings):
            print(doctor.line(found, secrets))
        return doctor.works(findings)

    def _again(self, what: str, name: str, more: Mapping[str, str] | None = None) -> bool:
        """After a secret that does not work: whether to look again, the same one or another; `more` can be changed too."""
        if name in self._outside:
            print(f"The environment sets {name}, and wins over .env: put it right there.")
            options = {"again": "look again", **(more or {}), "leave": "go on"}
        else:
            options = {"again": "look again", "other": "type another one", **(more or {})}
            options["leave"] = "go on with it as it is"
        choice = self._choice(options)
        if choice == "other":
            del self._values[name]
        elif choice == "model":
            self._set(MODEL, self._answer(MODEL, "Model", self._settings().anthropic_model))
        elif choice == "leave":
            self._left.append(what)
        return choice != "leave"

    def _choice(self, options: dict[str, str]) -> str:
        """One of the options, by its word or first letter; Enter is the first one."""
        told = ", ".join(f"{word}: {what}" for word, what in options.items())
        while True:
            said = self._ask(f"Enter or {told}").lower()
            for word in options:
                if said in ("", word, word[0]):
                    return word

    def _answer(self, name: str, prompt: str, now: str = "") -> str:
        """What is typed for a setting, once it can be meant; Enter keeps `now`."""
        while True:
            said = self._ask(f"{prompt} [{now}]" if now else prompt, secret=name in SECRETS) or now
            wrong = [] if name == KEY and not said else self._mistakes({TOKEN: NOBODY, name: said})
            if not wrong:
                return said
            print(*wrong, sep="\n")

    def _ask(self, prompt: str, secret: bool = False) -> str:
        """A line from the terminal, without the spaces around it."""
        while True:
            said = (getpass.getpass if secret else input)(f"{prompt}: ").strip()
            if said.isprintable():
                return said
            print("That has a character in it that cannot be meant. Type it again.")


def _person(raw: str, chat: Bot) -> Person | None:
    """Who wrote, where the gate would introduce itself: in private, first-hand, a person."""
    try:
        update = Update.de_json(json.loads(raw), chat)
        if gate.judge(update, frozenset()) is not gate.Verdict.INTRODUCE or update.effective_user is None:
            return None
    except Exception:
        log.exception("an update cannot be read")
        return None
    user, message = update.effective_user, update.effective_message
    name = user.full_name + (f" (@{user.username})" if user.username else "")
    return Person(user.id, name, (message.text or "something" if message else "something")[:80])
