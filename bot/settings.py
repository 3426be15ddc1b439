"""What the owner sets: one field is one line in .env.example. The environment wins over .env; secrets never print themselves."""

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from core.errors import GreenlightError

WORDS = {
    "int_parsing": "must be a whole number, in digits alone",
    "int_from_float": "must be a whole number, in digits alone",
    "bool_parsing": "must be true or false",
    "decimal_parsing": "must be a number such as 10000 or 0.02, with a point and nothing else",
}
"""What pydantic says in words of its own trade."""


class SettingsError(GreenlightError):
    """The settings cannot be used; the message has one line for each mistake, naming the variable."""


class Settings(BaseSettings):
    """Everything that can be set, with its default. Money is in the base currency of the account."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True)

    telegram_bot_token: SecretStr
    telegram_allowed_users: Annotated[tuple[int, ...], NoDecode] = ()
    telegram_api_url: str = "https://api.telegram.org"
    ibkr_host: str = "127.0.0.1"
    ibkr_port: int = Field(default=7497, ge=1, le=65535)
    ibkr_client_id: int = Field(default=0, ge=0, le=2**31 - 1)
    ibkr_account_id: str = ""
    anthropic_api_key: SecretStr | None = None
    anthropic_base_url: str = "https://api.anthropic.com"
    anthropic_model: str = "claude-sonnet-5-5"
    analyst_daily_dollars: Decimal = Field(default=Decimal(5), ge=0, allow_inf_nan=False)
    analyst_daily_calls: int = Field(default=100, ge=0)
    analyst_options: bool = True
    min_confidence: int = Field(default=70, ge=0, le=100)
    max_position_size: Decimal = Field(default=Decimal(10000), gt=0, allow_inf_nan=False)
    max_portfolio_risk: Decimal = Field(default=Decimal("0.02"), gt=0, le=1, allow_inf_nan=False)
    assumed_stop_atr: Decimal = Field(default=Decimal(3), gt=0, allow_inf_nan=False)
    max_approval_age_seconds: int = Field(default=120, ge=1)
    max_quote_age_seconds: int = Field(default=15, ge=1)
    max_drift_percent: Decimal = Field(default=Decimal("0.5"), gt=0, allow_inf_nan=False)
    max_spread_percent: Decimal = Field(default=Decimal(3), gt=0, allow_inf_nan=False)
    max_spread_percent_options: Decimal = Field(default=Decimal(25), gt=0, allow_inf_nan=False)
    max_jump_percent: Decimal = Field(default=Decimal(15), gt=0, allow_inf_nan=False)
    max_price_factor: Decimal = Field(default=Decimal(2), gt=1, allow_inf_nan=False)
    max_order_shares: Decimal = Field(default=Decimal(10_000), gt=0, allow_inf_nan=False)
    max_order_contracts: Decimal = Field(default=Decimal(50), gt=0, allow_inf_nan=False)
    max_order_value_base: Decimal = Field(default=Decimal(25_000), gt=0, allow_inf_nan=False)
    max_hour_value_base: Decimal = Field(default=Decimal(50_000), gt=0, allow_inf_nan=False)
    max_day_value_base: Decimal = Field(default=Decimal(100_000), gt=0, allow_inf_nan=False)
    max_collar_percent: Decimal = Field(default=Decimal(2), gt=0, allow_inf_nan=False)
    max_collar_percent_below_5: Decimal = Field(default=Decimal(5), gt=0, allow_inf_nan=False)
    max_collar_percent_options: Decimal = Field(default=Decimal(10), gt=0, allow_inf_nan=False)
    max_gross_exposure_percent: Decimal = Field(default=Decimal(100), gt=0, allow_inf_nan=False)
    reduce_at_day_loss_percent: Decimal = Field(default=Decimal(3), gt=0, le=100, allow_inf_nan=False)
    halt_at_day_loss_percent: Decimal = Field(default=Decimal(5), gt=0, le=100, allow_inf_nan=False)
    same_order_seconds: int = Field(default=60, ge=0)
    max_orders_per_minute: int = Field(default=5, ge=1)
    max_orders_per_day: int = Field(default=30, ge=1)
    max_filled_orders_per_symbol_hour: int = Field(default=3, ge=1)
    halt_at_rejects: int = Field(default=3, ge=1)
    min_excess_liquidity_percent: Decimal = Field(default=Decimal(20), ge=0, allow_inf_nan=False)
    entries_in_reset_window: bool = False
    allowed_symbols: Annotated[frozenset[str], NoDecode] = frozenset()
    denied_symbols: Annotated[frozenset[str], NoDecode] = frozenset()
    live_account: str = ""
    max_command_age_seconds: int = Field(default=60, ge=1)
    database_path: Path = Path("greenlight.db")
    backup_dir: Path | None = None
    backup_keep: int = Field(default=14, ge=1)
    log_level: str = "INFO"
    timezone: ZoneInfo = ZoneInfo("America/New_York")

    @field_validator("telegram_bot_token")
    @classmethod
    def _token(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch(r"\d+:[A-Za-z0-9_-]{3,}", value.get_secret_value()):
            raise ValueError("must look like 123456789:ABC..., as @BotFather gives it")
        return value

    @field_validator("telegram_allowed_users", mode="before")
    @classmethod
    def _users(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        words = [word.strip() for word in value.split(",") if word.strip()]
        wrong = [word for word in words if not (word.isascii() and word.isdigit() and int(word) > 0)]
        if wrong:
            raise ValueError(
                f"must be user ids separated by commas, such as 123456789; {', '.join(wrong)} is none (/whoami tells yours)"
            )
        return tuple(dict.fromkeys(int(word) for word in words))

    @field_validator("allowed_symbols", "denied_symbols", mode="before")
    @classmethod
    def _symbols(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        words = [word.strip().upper() for word in value.split(",") if word.strip()]
        wrong = [word for word in words if not re.fullmatch(r"[A-Z][A-Z0-9. ]{0,11}", word)]
        if wrong:
            raise ValueError(
                f"must be symbols separated by commas, such as AAPL, MSFT; {', '.join(wrong)} is none"
            )
        return frozenset(words)

    @field_validator("halt_at_day_loss_percent")
    @classmethod
    def _worse(cls, value: Decimal, told: ValidationInfo) -> Decimal:
        if value < (reduces := told.data.get("reduce_at_day_loss_percent", value)):
            raise ValueError(f"must not be below REDUCE_AT_DAY_LOSS_PERCENT, which is {reduces:f}")
        return value

    @field_validator("live_account")
    @classmethod
    def _live(cls, value: str) -> str:
        if value and (not re.fullmatch(r"[A-Z]+\d+", value) or value.startswith("D")):
            raise ValueError(
                "must be the number of a LIVE account, such as U1234567; a paper account (D...) needs no arming"
            )
        return value

    @field_validator("telegram_api_url", "anthropic_base_url")
    @classmethod
    def _url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an address such as https://api.telegram.org, without /bot behind it")
        return value.rstrip("/")

    @field_validator("anthropic_api_key", "backup_dir", mode="before")
    @classmethod
    def _nothing(cls, value: Any) -> Any:
        return value or None

    @field_validator("log_level")
    @classmethod
    def _level(cls, value: str) -> str:
        levels = ("DEBUG", "INFO", "WARNING", "ERROR")
        if value.upper() not in levels:
            raise ValueError(f"must be one of {', '.join(levels)}")
        return value.upper()

    @field_validator("timezone", mode="before")
    @classmethod
    def _zone(cls, value: Any) -> Any:
        if isinstance(value, str):
            try:
                return ZoneInfo(value)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError(f"must be a time zone such as Europe/Berlin; {value!r} is none") from None
        return value


class _Told(Settings):
    """Settings from nothing but what is told."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def of(values: Mapping[str, str]) -> Settings:
    """The settings that these variables make, whatever the environment and .env say. Raises SettingsError as `load` does."""
    try:
        return _Told(**{name.lower(): value for name, value in values.items()})  # type: ignore[arg-type]
    except ValidationError as wrong:
        raise _error(wrong) from None


def load() -> Settings:
    """Read the environment and .env. Raises SettingsError with one line for each mistake."""
    try:
        return Settings()  # type: ignore[call-arg]  # the environment has the values
    except UnicodeDecodeError:
        raise SettingsError(
            ".env: is not a UTF-8 text file; move it away and write it anew (greenlight settings explains each line)"
        ) from None
    except ValidationError as wrong:
        raise _error(wrong) from None


def _error(wrong: ValidationError) -> SettingsError:
    return SettingsError(
        "\n".join(_line(error) for error in wrong.errors(include_input=False, include_url=False))
    )


def _line(error: Any) -> str:
    name = str(error["loc"][0]).upper()
    said = WORDS.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    said = said[0].lower() + said[1:]
    if error["type"] == "missing":
        return f"{name}: is missing; set it in the environment or in .env"
    return f"{name}: {said}"
