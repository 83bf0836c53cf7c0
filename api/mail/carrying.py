"""Where e-mails go: to files in a folder, unless the operator named a server (`api/mail/smtp.py`)."""

import asyncio
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Letter:
    """An e-mail ready to go, to one recipient."""

    mail_id: str
    template: str
    created_at: datetime
    sender: str
    recipient: str
    message: EmailMessage


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a letter did not go. `error` holds no secret.

    `for_good`: it never will. `with_all`: it is not about this letter, others would meet it too.
    """

    error: str
    for_good: bool = False
    with_all: bool = False


class Carrier(Protocol):
    """Takes letters away."""

    async def carry(self, letter: Letter) -> Trouble | None:
        """Return None once the letter is somebody else's to deliver."""


class Folder:
    """Letters as `.eml` files, which mail programs open. They hold links that work: only their owner may read them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def carry(self, letter: Letter) -> Trouble | None:
        """Write the file, whole or not at all; a letter that is carried again takes the place of its file."""
        try:
            await asyncio.to_thread(self._write, letter)
        except OSError as error:
            return Trouble(f"the file cannot be written ({type(error).__name__})", with_all=True)
        return None

    def _write(self, letter: Letter) -> None:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = (
            self._path / f"{letter.created_at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{letter.template}-{letter.mail_id}.eml"
        )
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(letter.message.as_bytes())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
