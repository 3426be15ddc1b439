"""What the owner sets: defaults, precedence, one line for each mistake, and secrets that never print themselves."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot.settings import Settings, SettingsError, load

TOKEN = "123456789:AAcanary-canary_canary"
Environment = Callable[..., Settings]


@pytest.fixture
def given_(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Environment:
    """Load in an empty folder with this environment and nothing else; `dotenv` is the text of .env."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def with_(dotenv: str = "", **environment: str) -> Settings:
        (tmp_path / ".env").write_text(dotenv, "utf-8")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return load()

    return with_


def test_a_token_is_enough(given_: Environment) -> None:
    """Everything else has a default, and the defaults are safe: paper port, nobody allowed."""
    found = given_(TELEGRAM_BOT_TOKEN=TOKEN)
    assert (found.ibkr_host, found.ibkr_port, found.ibkr_client_id, found.ibkr_account_id) == (
        "127.0.0.1",
        7497,
        0,
        "",
    )
    assert found.telegram_allowed_users == ()
    assert found.telegram_api_url == "https://api.telegram.org"
    assert found.anthropic_api_key is None
    assert (found.min_confidence, found.max_position_size, found.max_portfolio_risk) == (
        70,
        Decimal(10000),
        Decimal("0.02"),
    )


def test_the_settings_keep_their_names() -> None:
    """A name that somebody wrote into a .env keeps its meaning."""
    assert {name.upper() for name in Settings.model_fields} >= {
        "TELEGRAM_BOT_TOKEN",
        "TELEGRAM_ALLOWED_USERS",
        "TELEGRAM_API_URL",
        "IBKR_HOST",
        "IBKR_PORT",
        "IBKR_CLIENT_ID",
        "IBKR_ACCOUNT_ID",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_BASE_URL",
        "ANTHROPIC_MODEL",
        "ANALYST_DAILY_DOLLARS",
        "ANALYST_DAILY_CALLS",
        "MIN_CONFIDENCE",
        "MAX_POSITION_SIZE",
        "MAX_PORTFOLIO_RISK",
        "MAX_COMMAND_AGE_SECONDS",
        "DATABASE_PATH",
        "LOG_LEVEL",
        "TIMEZONE",
    }


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("TELEGRAM_ALLOWED_USERS", "4242", (4242,)),
        ("TELEGRAM_ALLOWED_USERS", " 4242, 17 ,4242,", (4242, 17)),
        ("TELEGRAM_ALLOWED_USERS", "", ()),
        ("TELEGRAM_ALLOWED_USERS", " , ", ()),
        ("TELEGRAM_API_URL", "http://127.0.0.1:8081/", "http://127.0.0.1:8081"),
        ("ANTHROPIC_BASE_URL", "http://localhost:1/v", "http://localhost:1/v"),
        ("IBKR_PORT", "4002", 4002),
        ("IBKR_PORT", "1", 1),
        ("IBKR_PORT", "65535", 65535),
        ("IBKR_CLIENT_ID", "2147483647", 2**31 - 1),
        ("MIN_CONFIDENCE", "0", 0),
        ("MIN_CONFIDENCE", "100", 100),
        ("MAX_POSITION_SIZE", "0.01", Decimal("0.01")),
        ("MAX_PORTFOLIO_RISK", "1", Decimal(1)),
        ("MAX_COMMAND_AGE_SECONDS", "1", 1),
        ("DATABASE_PATH", "/var/lib/x.db", Path("/var/lib/x.db")),
        ("LOG_LEVEL", "debug", "DEBUG"),
        ("TIMEZONE", "Europe/Berlin", ZoneInfo("Europe/Berlin")),
        ("ANTHROPIC_API_KEY", "", None),
    ],
)
def test_good_values(given_: Environment, name: str, value: str, meant: Any) -> None:
    """What is written is what holds, up to the edges."""
    assert getattr(given_(TELEGRAM_BOT_TOKEN=TOKEN, **{name: value}), name.lower()) == meant


BAD = [
    ("TELEGRAM_BOT_TOKEN", ""),
    ("TELEGRAM_BOT_TOKEN", "canary"),
    ("TELEGRAM_BOT_TOKEN", "canary:canary"),
    ("TELEGRAM_BOT_TOKEN", f"{TOKEN} canary"),
    ("TELEGRAM_BOT_TOKEN", f"{TOKEN}\ncanary"),
    ("TELEGRAM_ALLOWED_USERS", "ada"),
    ("TELEGRAM_ALLOWED_USERS", "4242 17"),
    ("TELEGRAM_ALLOWED_USERS", "4242,-17"),
    ("TELEGRAM_ALLOWED_USERS", "0"),
    ("TELEGRAM_ALLOWED_USERS", "٤٢"),
    ("TELEGRAM_ALLOWED_USERS", "[4242]"),
    ("TELEGRAM_ALLOWED_USERS", "*"),
    ("TELEGRAM_ALLOWED_USERS", "9" * 5000),
    ("TELEGRAM_API_URL", "api.telegram.org"),
    ("TELEGRAM_API_URL", "ftp://api.telegram.org"),
    ("TELEGRAM_API_URL", "https://"),
    ("TELEGRAM_API_URL", "https://x/?a=b"),
    ("TELEGRAM_API_URL", "http://[::1"),
    ("TELEGRAM_API_URL", ""),
    ("ANTHROPIC_BASE_URL", "nowhere"),
    ("IBKR_PORT", "0"),
    ("IBKR_PORT", "65536"),
    ("IBKR_PORT", "7497.5"),
    ("IBKR_PORT", "paper"),
    ("IBKR_PORT", ""),
    ("IBKR_CLIENT_ID", "-1"),
    ("IBKR_CLIENT_ID", "2147483648"),
    ("MIN_CONFIDENCE", "-1"),
    ("MIN_CONFIDENCE", "101"),
    ("MIN_CONFIDENCE", "high"),
    ("MAX_POSITION_SIZE", "0"),
    ("MAX_POSITION_SIZE", "-1"),
    ("MAX_POSITION_SIZE", "10,000"),
    ("MAX_POSITION_SIZE", "nan"),
    ("MAX_POSITION_SIZE", "inf"),
    ("MAX_PORTFOLIO_RISK", "0"),
    ("MAX_PORTFOLIO_RISK", "1.01"),
    ("MAX_PORTFOLIO_RISK", "2%"),
    ("MAX_COMMAND_AGE_SECONDS", "0"),
    ("LOG_LEVEL", "LOUD"),
    ("LOG_LEVEL", ""),
    ("TIMEZONE", "Mars/Olympus"),
    ("TIMEZONE", "../etc/passwd"),
    ("TIMEZONE", ""),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=[f"{name}={value[:16]!r}" for name, value in BAD])
def test_a_bad_value_is_one_line_that_names_the_variable(given_: Environment, name: str, value: str) -> None:
    """No traceback and no echo of a secret: the variable, and what it must be."""
    with pytest.raises(SettingsError) as wrong:
        given_(**{"TELEGRAM_BOT_TOKEN": TOKEN, name: value})
    (line,) = str(wrong.value).splitlines()
    assert line.startswith(f"{name}: ")
    assert len(line) > len(name) + 10
    assert "canary" not in line
    assert "pydantic" not in line


def test_all_mistakes_are_told_at_once(given_: Environment) -> None:
    """One start tells everything: a line for each variable, in the order of the settings."""
    with pytest.raises(SettingsError) as wrong:
        given_(IBKR_PORT="x", LOG_LEVEL="y", TELEGRAM_ALLOWED_USERS="z")
    names = [line.partition(":")[0] for line in str(wrong.value).splitlines()]
    assert names == ["TELEGRAM_BOT_TOKEN", "TELEGRAM_ALLOWED_USERS", "IBKR_PORT", "LOG_LEVEL"]


def test_a_missing_token_says_where_it_belongs(given_: Environment) -> None:
    """The one thing that a newcomer must set is asked for by name and place."""
    with pytest.raises(SettingsError, match=r"TELEGRAM_BOT_TOKEN.*missing.*\.env"):
        given_()


def test_the_file_is_read(given_: Environment) -> None:
    """What stands in .env holds; lines of other programs do not disturb."""
    found = given_(f"# a comment\nTELEGRAM_BOT_TOKEN={TOKEN}\nIBKR_PORT=4002\nSOMETHING_ELSE=1\n")
    assert found.ibkr_port == 4002
    assert found.telegram_bot_token.get_secret_value() == TOKEN


def test_the_environment_wins(given_: Environment) -> None:
    """A variable of the environment overrules the file, line by line."""
    found = given_(f"TELEGRAM_BOT_TOKEN={TOKEN}\nIBKR_PORT=4002\nIBKR_HOST=tws\n", IBKR_PORT="4001")
    assert (found.ibkr_port, found.ibkr_host) == (4001, "tws")


def test_a_bad_line_of_the_file_is_told_like_any_other(given_: Environment) -> None:
    """Where a value came from changes nothing about the sentence."""
    with pytest.raises(SettingsError, match=r"^IBKR_PORT: "):
        given_(f"TELEGRAM_BOT_TOKEN={TOKEN}\nIBKR_PORT=paper\n")


def test_secrets_do_not_print_themselves(given_: Environment) -> None:
    """Neither str nor repr nor a dump shows a secret; asking for it does."""
    found = given_(TELEGRAM_BOT_TOKEN=TOKEN, ANTHROPIC_API_KEY="sk-ant-canary")
    shown = f"{found} {found!r} {found.model_dump()} {found.model_dump_json()}"
    assert "canary" not in shown
    assert found.telegram_bot_token.get_secret_value() == TOKEN
    assert found.anthropic_api_key is not None
    assert found.anthropic_api_key.get_secret_value() == "sk-ant-canary"


def test_the_example_is_a_usable_file(given_: Environment) -> None:
    """.env.example with a token written into it starts the bot."""
    example = (Path(__file__).resolve().parents[2] / ".env.example").read_text("utf-8")
    found = given_(example.replace("TELEGRAM_BOT_TOKEN=\n", f"TELEGRAM_BOT_TOKEN={TOKEN}\n"))
    assert found.ibkr_port == 7497


def test_settings_do_not_change(given_: Environment) -> None:
    """Nobody turns a limit while the bot runs."""
    found = given_(TELEGRAM_BOT_TOKEN=TOKEN)
    with pytest.raises(ValueError, match="frozen"):
        found.max_position_size = Decimal(1)
