"""The API's description as text, for `hookline openapi` and the committed copy; nothing is connected to."""

import difflib
import json
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from api.app import create_app
from api.settings import ApiSettings
from producers.settings import KafkaSettings
from schemas.errors import HooklineError
from schemas.sealing import new_master_key

_MOST_LINES: Final = 40


class DescriptionDiffers(HooklineError):
    """A copy of the description is not what the API says of itself."""


def description() -> str:
    """Return the OpenAPI document as indented JSON; the same on every machine, whatever its settings are."""
    settings = ApiSettings(
        master_keys=SecretStr(new_master_key()), admin_token=SecretStr("nobody-calls-this-one"), admin_token_file=None
    )
    document = create_app(settings, KafkaSettings()).openapi()
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def check_copy(path: Path) -> None:
    """Raise DescriptionDiffers, with the first lines that differ, unless the file at `path` holds the description."""
    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    made = description()
    if kept != made:
        lines = difflib.unified_diff(kept.splitlines(), made.splitlines(), str(path), "the API", lineterm="", n=1)
        differing = "\n".join([*lines][:_MOST_LINES])
        raise DescriptionDiffers(f"{path} is not what the API says of itself: run `make openapi`\n{differing}")
