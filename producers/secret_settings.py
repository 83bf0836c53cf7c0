"""Secrets among the settings: in a variable, or in a file that `<NAME>_FILE` names, as containers mount them."""

from pathlib import Path

from pydantic import SecretStr

from schemas.errors import HooklineError
from schemas.sealing import Sealer, SealingError, sealer_of


class UnfitSettings(HooklineError):
    """A process cannot start with these settings; the text says which one and what to do, and holds no secret."""


def given_secret(value: SecretStr | None, file: Path | None, *, name: str) -> str:
    """Return the secret that the variable `name` holds, or the file of `name`_FILE; raises UnfitSettings."""
    if value is not None and value.get_secret_value().strip():
        return value.get_secret_value().strip()
    if file is None:
        raise UnfitSettings(f"set {name}, or {name}_FILE to a file that holds it")
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UnfitSettings(f"{name}_FILE cannot be read: {type(error).__name__}") from None


def given_sealer(keys: SecretStr | None, file: Path | None) -> Sealer:
    """Return what seals and opens secrets with the given master keys; raises UnfitSettings when they are unfit."""
    try:
        return sealer_of(given_secret(keys, file, name="HOOKLINE_MASTER_KEYS"))
    except SealingError as error:
        raise UnfitSettings(f"HOOKLINE_MASTER_KEYS: {error}") from None
