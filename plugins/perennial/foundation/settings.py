"""The one reader of the environment."""

import os
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit, urlunsplit
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from perennial.foundation.errors import BadConfig
from perennial.foundation.include import Include

PREFIX = "PERENNIAL_"
REPOSITORY = Path(__file__).resolve().parents[3]
SHIPPED = REPOSITORY / "include"


class Settings(BaseSettings):
    """Everything that can be set, by `PERENNIAL_<NAME>` in the environment. Frozen once read."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    home: Path = Field(REPOSITORY / "var", description="Everything Perennial writes lives below this folder.")
    include: Path = Field(SHIPPED, description="Your files over the shipped ones: docs/configuration.md.")
    inbox: Path | None = Field(None, description="Where source files arrive. Default: <home>/inbox.")
    warehouse: str | None = Field(
        None, repr=False, description="Warehouse URL. Default: duckdb:///<home>/warehouse.duckdb."
    )
    ledger: str | None = Field(
        None, repr=False, description="Ledger URL. Default: sqlite:///<home>/ledger/ledger.sqlite."
    )
    warehouse_password: SecretStr | None = Field(None, description="For a warehouse URL that names a user only.")
    ledger_password: SecretStr | None = Field(None, description="For a ledger URL that names a user only.")
    connections: dict[str, SecretStr] = Field(
        default_factory=dict,
        description='URLs of what sources read, as JSON: {"shop": "postgresql://me:secret@host/shop"}.',
    )
    secrets_dir: Path | None = Field(
        None, description="A folder of files named as settings, such as perennial_ledger_password: Docker's secrets."
    )

    timezone: str = Field("Europe/Berlin", description="The business time zone: it decides where a day ends.")
    currency: str = Field("EUR", pattern="^[A-Z]{3}$", description="The business currency, ISO 4217.")
    now: AwareDatetime | None = Field(
        None,
        description="The demo clock: when set, it is always this moment. Default: <home>/demo_clock, if there is one.",
    )
    memory_limit: str = Field(
        "3GB", description="What DuckDB may use for its tables; the process takes about 1 GB on top."
    )
    warehouse_connections: int = Field(4, ge=1, description="Tables that a PostgreSQL warehouse makes at once.")
    lock_timeout: float = Field(60, ge=0, description="Seconds to wait for another writer of the warehouse file.")

    delivery: Literal["mailbox", "smtp", "sendgrid", "mailgun"] = Field(
        "mailbox", description="mailbox: .eml files below <home>, nothing real is ever sent. The others: real mail."
    )
    delivery_workers: int = Field(1, ge=1, le=64, description="Deliveries at once, each with a connection of its own.")
    delivery_per_minute: int | None = Field(
        None, ge=1, description="At most so many messages a minute, over all workers. Default: no limit."
    )
    delivery_fallback: Literal["smtp", "sendgrid", "mailgun"] | None = Field(
        None, description="Takes over what `delivery` did not take, while that cannot be reached or refuses us."
    )
    delivery_fallback_after: float = Field(
        10, gt=0, description="Minutes of trouble, in three attempts or more, after which the fallback takes over."
    )
    smtp_host: str = "127.0.0.1"
    smtp_port: int = Field(2525, gt=0, lt=65536)
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    smtp_security: Literal["none", "starttls", "tls"] = "none"
    smtp_timeout: float = Field(30, gt=0, description="Seconds without an answer after which the server is given up.")
    sendgrid_api_key: SecretStr | None = Field(None, description="A key that may send mail, and need do nothing else.")
    sendgrid_url: str = Field(
        "https://api.sendgrid.com", description="For an account in the EU https://api.eu.sendgrid.com."
    )
    sendgrid_sandbox: bool = Field(default=False, description="SendGrid checks each request and sends nothing.")
    mailgun_api_key: SecretStr | None = Field(None, description="A sending key of the domain.")
    mailgun_domain: str | None = Field(None, description="The domain that Mailgun sends for, such as mg.shop.example.")
    mailgun_url: str = Field(
        "https://api.mailgun.net", description="For a domain in the EU https://api.eu.mailgun.net."
    )
    mailgun_test_mode: bool = Field(default=False, description="Mailgun takes the mail, charges it and sends nothing.")
    api_timeout: float = Field(
        30, gt=0, description="Seconds without an answer after which SendGrid or Mailgun is given up."
    )
    bounce_mailbox: Path | None = Field(
        None, description="Where bounces and complaints come: a Maildir, or a folder of .eml files."
    )
    mailgun_events_key: SecretStr | None = Field(
        None, description="A key that may read the domain's events, which are asked for beside the webhooks."
    )
    shop_name: str = "Perennial Demo Shop"
    shop_url: str = Field("https://shop.example/", description="Where links to the shop lead.")
    sender: str = Field("Perennial Demo Shop <hello@shop.example>", description="The From header.")
    postal_address: str = Field("Perennial Demo Shop, 1 Garden Lane, 10115 Berlin", description="Shown in each footer.")
    web_host: str = Field("127.0.0.1", description="Where `make hooks` listens; behind a proxy that has the name.")
    web_port: int = Field(8025, gt=0, lt=65536)
    metrics_token: SecretStr | None = Field(
        None, description="What Prometheus shows as its bearer token; without it there is no /metrics."
    )
    sendgrid_webhook_key: SecretStr | None = Field(
        None, description="Verification key of SendGrid's signed event webhook; without it there is no such webhook."
    )
    mailgun_webhook_key: SecretStr | None = Field(
        None, description="Mailgun's HTTP webhook signing key; without it there is no such webhook."
    )
    track: Literal["none", "opens", "clicks", "opens,clicks"] = Field(
        "none", description="What our own web app counts of mails by SMTP and into the mailbox: docs/configuration.md."
    )
    public_url: str = Field("http://127.0.0.1:8025", description="Where people reach the public web app.")
    secret: SecretStr | None = Field(
        None,
        description="Signs links in mails; a new one and older ones, separated by commas, to change it. Default: "
        "generated once, beside the ledger.",
    )

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ValueError, KeyError, OSError) as error:
            raise ValueError("is not an IANA time zone such as Europe/Berlin") from error
        return name

    @field_validator("delivery_fallback")
    @classmethod
    def _another_provider(cls, fallback: str | None, others: ValidationInfo) -> str | None:
        delivery = others.data.get("delivery")
        if fallback and delivery in ("mailbox", fallback):
            raise ValueError(f"stands in for another provider of real mail, and {PREFIX}DELIVERY is {delivery}")
        return fallback

    @field_validator("metrics_token", "sendgrid_webhook_key", "mailgun_webhook_key", mode="before")
    @classmethod
    def _empty_is_none(cls, given: object) -> object:
        return None if given == "" else given  # a secret file that waits to be filled

    @field_validator("include")
    @classmethod
    def _readable_include(cls, folder: Path) -> Path:
        if problems := list(Include(folder, SHIPPED).problems()):
            raise ValueError("\n".join(problems))
        return folder

    @property
    def files(self) -> Include:
        """Where each file that people edit is read from."""
        return Include(self.include, SHIPPED)

    @cached_property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def inbox_dir(self) -> Path:
        return self.inbox or self.home / "inbox"

    @property
    def demo_clock(self) -> Path:
        """A home that holds a demo shop lives by the shop's clock."""
        return self.home / "demo_clock"

    @property
    def landing_dir(self) -> Path:
        """Source files exactly as taken. Precious: back it up."""
        return self.home / "landing"

    @property
    def ledger_dir(self) -> Path:
        """Frozen decisions, the embedded ledger, hand-off journals, the secret of links. Precious: back it up."""
        return self.home / "ledger"

    @property
    def mailbox_dir(self) -> Path:
        return self.home / "mailbox"

    @property
    def published_dir(self) -> Path:
        """What BI tools and people read."""
        return self.home / "published"

    @property
    def warehouse_url(self) -> str:
        return _with_password(self.warehouse or f"duckdb:///{self.home / 'warehouse.duckdb'}", self.warehouse_password)

    @property
    def ledger_url(self) -> str:
        return _with_password(self.ledger or f"sqlite:///{self.ledger_dir / 'ledger.sqlite'}", self.ledger_password)


def load_settings(**overrides: object) -> Settings:
    """
    Read the environment, then the files of PERENNIAL_SECRETS_DIR; `overrides` win over both.

    Raises BadConfig naming the variable, its value (secrets excepted) and what is allowed.
    """
    unknown = sorted(
        name
        for name in os.environ
        if name.startswith(PREFIX) and name.removeprefix(PREFIX).lower() not in Settings.model_fields
    )
    if unknown:
        known = ", ".join(PREFIX + field.upper() for field in Settings.model_fields)
        raise BadConfig(f"Unknown setting {', '.join(unknown)}. Known settings: {known}.")
    folder = os.environ.get(f"{PREFIX}SECRETS_DIR")
    if folder and not Path(folder).is_dir():
        raise BadConfig(f"{PREFIX}SECRETS_DIR: {folder} is not a folder.")
    overrides["_secrets_dir"] = folder or None
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]
        if settings.now is None and settings.demo_clock.exists():
            settings = Settings(**{**overrides, "now": settings.demo_clock.read_text().strip()})  # type: ignore[arg-type]
        return settings
    except ValidationError as error:
        problems = "; ".join(
            f"{PREFIX}{'_'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
            + ("" if _is_secret(problem["loc"]) else f" (got {problem['input']!r})")
            for problem in error.errors()
        )
        raise BadConfig(f"Bad setting. {problems}") from error
    except SettingsError as error:
        place = "SECRETS_DIR" if "SecretsSettingsSource" in str(error) else "CONNECTIONS"  # the one that is JSON
        raise BadConfig(f"{PREFIX}{place}: {error}: {error.__cause__}") from None


def _is_secret(location: tuple[int | str, ...]) -> bool:
    return any(word in str(part) for part in location for word in ("secret", "password", "connections", "key", "token"))


def _with_password(url: str, password: SecretStr | None) -> str:
    """`url` with the password behind its user; one that the URL itself states stands."""
    parts = urlsplit(url)
    if password is None or parts.username is None or parts.password is not None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}:{quote(password.get_secret_value(), safe='')}@{host}"))
