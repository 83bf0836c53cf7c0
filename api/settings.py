"""The API's settings, from `HOOKLINE_…` in the environment (and `DATABASE_URL`), or given."""

from pathlib import Path
from typing import Final

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from producers.database_urls import libpq_url
from producers.parsed_settings import Ports, RetryWaits
from producers.secret_settings import UnfitSettings, given_sealer, given_secret
from schemas.addresses import checked_networks
from schemas.envelope import LARGEST_EVENT_BYTES
from schemas.errors import InvalidInput
from schemas.ids import is_organization_id
from schemas.sealing import Sealer
from schemas.urls import PORTS
from schemas.waits import DEFAULT_WAITS, parse_schedule

SHORTEST_TOKEN: Final = 16  # characters: a token is compared, not slowed down, so it must not be guessable


class DatabaseSettings(BaseSettings):
    """Where PostgreSQL is, and how long to wait for it."""

    model_config = SettingsConfigDict(
        env_prefix="HOOKLINE_", extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    database_url: str = Field(
        default="postgresql://127.0.0.1:5432/hookline",
        validation_alias=AliasChoices("database_url", "DATABASE_URL"),
        repr=False,
    )
    """PostgreSQL as libpq writes it, `postgresql://user:password@host:port/database?sslmode=…`; `DATABASE_URL`."""
    database_wait_s: float = Field(default=5.0, gt=0)
    """Seconds to wait for a connection, and for a connection's making; the API answers 503 after it."""
    database_query_s: float = Field(default=10.0, gt=0)
    """Seconds that one statement may take."""

    @field_validator("database_url")
    @classmethod
    def _as_libpq_writes_it(cls, url: str) -> str:
        return libpq_url(url)


class ApiSettings(DatabaseSettings):
    """What the API needs to know besides where Kafka is (`producers.settings.KafkaSettings`)."""

    model_config = SettingsConfigDict(arbitrary_types_allowed=True)

    retry_waits: RetryWaits = parse_schedule(DEFAULT_WAITS)
    """The workers' waits between attempts: by them a subscription's lag says where its deliveries wait."""
    master_keys: SecretStr | None = None
    """Master keys that seal secrets: `id:base64 of 32 bytes`, several between commas, the first one seals."""
    master_keys_file: Path | None = None
    """A file that holds `master_keys`, when the environment must not."""
    admin_token: SecretStr | None = None
    """The administrator's bearer token, at least 16 characters."""
    admin_token_file: Path | None = None
    """A file that holds `admin_token`."""
    admin_organization: str = "org_default"
    """The organization in which the administrator acts, unless the header `Hookline-Organization` names another."""
    development: bool = False
    """Let subscriptions name http://, loopback endpoints and every port. Never on in production: it opens the machine
    itself."""
    ports: Ports = PORTS
    """Ports that a subscription's URL may name. Workers read it too, and dial no other."""
    largest_event_bytes: int = Field(default=LARGEST_EVENT_BYTES, ge=1024, le=1024 * 1024)
    """Bytes of JSON that a request's body may have; more is answered with 413."""
    largest_batch_bytes: int = Field(default=5 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024)
    """Bytes of JSON that the body of a batch of events may have; more is answered with 413."""
    largest_stream_bytes: int = Field(default=256 * 1024 * 1024, ge=1024)
    """Bytes that one stream of events may have; it is read so far, and its summary says so."""
    most_waiting_events: int = Field(default=1000, ge=1)
    """Events that may wait for Kafka at once in this process; one more is answered with 503."""
    failing_after: int = Field(default=3, ge=1)
    """Failed attempts in a row after which an enabled subscription is shown as `failing`."""
    replays_per_s: float = Field(default=100.0, gt=0, allow_inf_nan=False)
    """Deliveries a second that a replay sends when it names no rate of its own."""
    most_replayed_per_s: float = Field(default=1000.0, gt=0, allow_inf_nan=False)
    """Deliveries a second that a replay may ask for; a higher rate is answered with 422."""
    most_replays_at_once: int = Field(default=10, ge=1)
    """Replays of one organization that may be sending at once; one more is answered with 409."""
    most_event_types: int = Field(default=200, ge=0)
    """Event types that one organization may define; one more is answered with 409."""
    redis_url: str | None = Field(default=None, repr=False)
    """Redis that counts rate limits for all API processes, `redis://host:port/0`; without it each counts for itself."""
    trusted_proxies: str = ""
    """Addresses of proxies, between commas, whose X-Forwarded-For says who calls; empty: nobody's does."""
    public_url: str = "http://127.0.0.1:8000"
    """Where callers reach the API: the issuer of the OAuth server, and what links in e-mails begin with."""
    session_hours: int = Field(default=12, ge=1, le=24 * 30)
    """Hours after which a browser has to sign in again."""
    invitation_days: int = Field(default=7, ge=1, le=90)
    """Days that an invitation can be accepted."""
    link_hours: int = Field(default=24, ge=1, le=24 * 7)
    """Hours that a link to verify an address can be used; one to reset a password: an hour."""
    smtp_url: SecretStr | None = None
    """The server that e-mail goes through, `smtp://user:password@host:587` (STARTTLS) or `smtps://…:465`; without it
    e-mails become files in `mail_folder`."""
    smtp_url_file: Path | None = None
    """A file that holds `smtp_url`."""
    mail_folder: Path = Path(".hookline/mail")
    """Where e-mails go as files while there is no `smtp_url`."""
    mail_from: str = "Hookline <hookline@localhost>"
    """The sender of e-mails."""
    code_lifetime_s: int = Field(default=60, ge=10, le=600)
    """Seconds that an authorization code can be used (RFC 6749, 4.1.2)."""
    access_token_lifetime_s: int = Field(default=3600, ge=60, le=86_400)
    """Seconds that an access token is valid."""
    refresh_token_lifetime_days: int = Field(default=30, ge=1, le=365)
    """Days that a refresh token can be used."""
    grant_lifetime_days: int = Field(default=365, ge=1, le=3650)
    """Days after which a user is asked again, however often refresh tokens were used."""
    refresh_grace_s: int = Field(default=10, ge=0, le=60)
    """Seconds in which a refresh token may be used again because its answer was lost; later it revokes everything."""
    signing_key_days: int = Field(default=90, ge=1, le=365)
    """Days that a key signs access tokens before the next one does."""
    api_host: str = "127.0.0.1"
    """The address to listen on."""
    api_port: int = Field(default=8000, ge=0, le=65535)
    """The port to listen on; 0 picks a free one."""
    shutdown_s: int = Field(default=10, ge=1)
    """Seconds that requests at hand may take when the process is told to stop."""
    database_connections: int = Field(default=10, ge=1)
    """Connections to PostgreSQL for transactions; with each five goes one for the ids of events, and two listen."""

    @field_validator("admin_organization")
    @classmethod
    def _an_organization(cls, organization_id: str) -> str:
        if not is_organization_id(organization_id):
            raise ValueError("must be 1 to 100 letters, digits and . _ : -")
        return organization_id

    @field_validator("trusted_proxies")
    @classmethod
    def _addresses(cls, proxies: str) -> str:
        """Normalise: what uvicorn cannot read it takes for a name, and believes nobody; `*` would believe everybody."""
        try:
            return ",".join(checked_networks([each.strip() for each in proxies.split(",") if each.strip()]))
        except InvalidInput as error:
            raise ValueError(error.detail) from None

    def sealer(self) -> Sealer:
        """Return what seals secrets; raises UnfitSettings when the master key is missing or unfit."""
        return given_sealer(self.master_keys, self.master_keys_file)

    def administrators_token(self) -> str:
        """Return the administrator's token; raises UnfitSettings when it is missing or too short."""
        token = given_secret(self.admin_token, self.admin_token_file, name="HOOKLINE_ADMIN_TOKEN")
        if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            raise UnfitSettings(
                f"HOOKLINE_ADMIN_TOKEN must be at least {SHORTEST_TOKEN} ASCII characters without spaces"
            )
        return token
