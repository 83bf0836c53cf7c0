"""The API's description as text, for `hookline openapi` and the committed copy; nothing is connected to."""

import json
from pathlib import Path

from pydantic import SecretStr

from api.app import create_app
from api.settings import ApiSettings
from compose.copies import check_same
from producers.settings import KafkaSettings
from schemas.sealing import new_master_key


def description() -> str:
    """Return the OpenAPI document as indented JSON; the same on every machine, whatever its settings are."""
    settings = ApiSettings(
        master_keys=SecretStr(new_master_key()), admin_token=SecretStr("nobody-calls-this-one"), admin_token_file=None
    )
    document = create_app(settings, KafkaSettings()).openapi()
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def check_copy(path: Path) -> None:
    """Raise DescriptionDiffers, with the first lines that differ, unless the file at `path` holds the description."""
    check_same(path, description(), target="openapi")
