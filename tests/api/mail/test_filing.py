"""Without a server e-mails become files, for their owner's eyes, in the order of time."""

import stat
from datetime import UTC
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest

from api.mail.queueing import Template
from tests.api.mail.posting import PostOffice

pytestmark = pytest.mark.postgres


async def test_each_is_a_file_that_only_its_owner_may_read(office: PostOffice, tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    sender = office.sender(mail_folder=folder)
    await office.queue(Template.RESET)
    await office.queue(Template.INVITATION)
    assert await office.send(sender)
    rows = await office.rows("SELECT * FROM mails ORDER BY created_at")
    assert [row["state"] for row in rows] == ["sent", "sent"]
    assert _names(folder) == [
        f"{row['created_at'].astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{row['template']}-{row['id']}.eml" for row in rows
    ]
    for name, row in zip(_names(folder), rows, strict=True):
        path = folder / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        message = message_from_bytes(path.read_bytes(), EmailMessage, policy=default)
        assert message["Message-ID"] == f"<{row['id']}@hooks.example>"
        body = message.get_body(("plain",))
        assert body is not None
        assert f"/{row['link_purpose']}?token={row['link_id']}." in body.get_content()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_what_is_sent_twice_is_one_file(office: PostOffice, tmp_path: Path) -> None:
    sender = office.sender(mail_folder=tmp_path)
    await office.queue()
    await office.send(sender)
    written = _contents(tmp_path)
    await office.rows("UPDATE mails SET state = 'queued', finished_at = NULL, next_attempt_at = created_at")
    await office.send(sender)
    assert _contents(tmp_path) == written
    assert (await office.mail())["attempts"] == 2


async def test_a_folder_that_cannot_be_is_tried_again(office: PostOffice, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    await office.queue()
    assert not await office.send(office.sender(mail_folder=tmp_path / "file"))
    row = await office.mail()
    assert (row["state"], row["last_error"]) == ("queued", "the file cannot be written (FileExistsError)")


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
