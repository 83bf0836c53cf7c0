"""Where the commands find their settings: the environment, and else the stack that runs in `.hookline/`.

`hookline up` writes `.hookline/stack.json` when all is ready and removes it when it stops. What the environment says
goes first. A secret is never part of a message.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast
from urllib.parse import urlsplit

import orjson
from pydantic import SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from processors.settings import WorkerSettings
from producers.secret_settings import given_secret
from producers.settings import KafkaSettings
from schemas.errors import HooklineError

FOLDER: Final = Path(".hookline")


class SettingsError(HooklineError):
    """A setting is missing or does not hold; the text names its variable and what to write."""


class ProcessSettings(BaseSettings):
    """What every process of ours can be told."""

    model_config = SettingsConfigDict(env_prefix="HOOKLINE_", extra="ignore", hide_input_in_errors=True)

    log_level: Literal["debug", "info", "warning", "error", "critical"] | None = None
    """From which level on there are logs: `info` for processes, `error` for commands that print an answer."""
    ready_file: Path | None = None
    """A file that a process writes its id to when it is ready, and removes when it stops: for supervisors."""


@dataclass(frozen=True, slots=True)
class RunningStack:
    """What `.hookline/stack.json` says about the stack that `hookline up` runs here."""

    folder: Path
    api_url: str
    kafka: str
    database_url: str


def running_stack(folder: Path = FOLDER) -> RunningStack | None:
    """Return the stack of a folder; None when there is none, raises SettingsError when its file cannot be read."""
    path = folder / "stack.json"
    try:
        found = cast(dict[str, str], orjson.loads(path.read_bytes()))
        return RunningStack(folder, found["api_url"], found["kafka"], found["database_url"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path} cannot be read ({type(error).__name__}): start `hookline up` again") from None


class CommandSettings(BaseSettings):
    """Where the commands that ask the API find it, and what they show it."""

    model_config = SettingsConfigDict(env_prefix="HOOKLINE_", extra="ignore", hide_input_in_errors=True)

    api_url: str | None = None
    """Where the API is, `https://hookline.example.com`; else that of the stack that runs in `.hookline/`."""
    admin_token: SecretStr | None = None
    """The administrator's bearer token."""
    admin_token_file: Path | None = None
    """A file that holds `admin_token`."""

    @field_validator("api_url")
    @classmethod
    def _an_origin(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query:
            raise ValueError("must be http:// or https:// and a host, without a user")
        return url.rstrip("/")


@dataclass(frozen=True, slots=True)
class ApiAddress:
    """Where the API is, without a slash at the end, and the token for it."""

    url: str
    token: str = field(repr=False)


def api_of_command() -> ApiAddress:
    """Return where a command finds the API; raises SettingsError, UnfitSettings and pydantic's ValidationError."""
    settings, stack = CommandSettings(), running_stack()
    url = settings.api_url or (None if stack is None else stack.api_url)
    if url is None:
        raise SettingsError("no API is known: set HOOKLINE_API_URL, or run `hookline up` in this folder")
    file = settings.admin_token_file
    # The stack's token goes to the stack and nowhere else, whatever HOOKLINE_API_URL names.
    if settings.admin_token is None and file is None and stack is not None and url == stack.api_url:
        file = stack.folder / "admin-token"
    token = given_secret(settings.admin_token, file, name="HOOKLINE_ADMIN_TOKEN")
    if not token.isascii() or not token.isprintable():
        raise SettingsError("HOOKLINE_ADMIN_TOKEN must be ASCII without line breaks")
    return ApiAddress(url, token)


class QuietKafkaSettings(KafkaSettings):
    """For commands: what librdkafka tells about its connections is not printed, the command's own error is."""

    def client_config(self) -> dict[str, str]:
        """Return the configuration of a client that prints nothing."""
        return {**super().client_config(), "log_level": "0"}


def kafka_of_command() -> QuietKafkaSettings:
    """Return where a command finds Kafka."""
    settings = QuietKafkaSettings()
    stack = None if "bootstrap_servers" in settings.model_fields_set else running_stack()
    return settings if stack is None else settings.model_copy(update={"bootstrap_servers": stack.kafka})


def database_url_of_command() -> str:
    """Return where a command finds PostgreSQL."""
    from api.settings import ApiSettings

    settings = ApiSettings()
    stack = None if "database_url" in settings.model_fields_set else running_stack()
    return settings.database_url if stack is None else stack.database_url


def worker_settings() -> WorkerSettings:
    """Return a worker's settings from the environment; raises pydantic's ValidationError."""
    return WorkerSettings.model_validate({})  # not `WorkerSettings()`: mypy sees no defaults in `Field(x, …)`


def worker_settings_of_command() -> WorkerSettings:
    """Return the same for a command: without a master key in the environment, the running stack's."""
    settings = worker_settings()
    given = settings.master_keys or settings.master_keys_file
    stack = None if given else running_stack()
    return settings if stack is None else settings.model_copy(update={"master_keys_file": stack.folder / "master-keys"})


def explained(error: ValidationError) -> str:
    """Return which variables do not hold and what to write, in one line; what was given is not repeated."""
    classes = {settings.__name__: settings for settings in _settings_classes()}
    prefix = str(classes[error.title].model_config.get("env_prefix", "")) if error.title in classes else ""
    flaws = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{_variable(flaw['loc'], prefix)}: {_said(flaw['msg'])}" for flaw in flaws)


def _settings_classes() -> list[type[BaseSettings]]:
    from api.projection.settings import ProjectorSettings
    from api.settings import ApiSettings

    return [
        *(ApiSettings, ProjectorSettings, WorkerSettings, KafkaSettings),
        *(QuietKafkaSettings, ProcessSettings, CommandSettings),
    ]


def _variable(location: tuple[int | str, ...], prefix: str) -> str:
    name = str(location[0]) if location else ""
    return name.upper() if name.lower() == "database_url" else f"{prefix}{name}".upper()


def _said(message: str) -> str:
    return message.removeprefix("Value error, ").removeprefix("Input ").replace("\n", " ")
