"""E-mails that are due go out once each, are tried again, or are given up; and no row holds what opens anything."""

import asyncio
import re
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from api.database import transaction_of
from api.mail.carrying import Letter, Trouble
from api.mail.queueing import Template, queue_mail
from api.mail.sending import WAITS, MailSender, next_attempt_at
from api.signed_links import LinkPurpose, SignedLinks
from schemas.sealing import sealer_of
from tests.api.conftest import MASTER_KEYS, settings_of
from tests.api.mail.posting import ORGANIZATION, PostOffice, Server, serving

pytestmark = pytest.mark.postgres


class Killed(BaseException):
    """What stands for a kill -9: nothing catches it."""


async def test_what_is_due_is_sent_and_marked(office: PostOffice) -> None:
    await office.queue(Template.INVITATION, invited_by="Bob")
    async with serving(Server()) as server:
        assert await office.send(office.sender(server))
    (message,), row = server.got, await office.mail()
    assert (row["state"], row["attempts"], row["last_error"]) == ("sent", 1, None)
    assert row["finished_at"] == office.clock.at
    assert message["From"] == "Hookline <no-reply@hooks.example>"
    assert (message["To"], message["Subject"]) == ("ann@example.com", "You are invited to Acme")
    assert message["Message-ID"] == f"<{row['id']}@hooks.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime == row["created_at"].replace(microsecond=0)
    (envelope,) = server.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("no-reply@hooks.example", ["ann@example.com"])
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


async def test_the_link_is_signed_when_it_is_sent_and_the_row_holds_none_of_it(office: PostOffice) -> None:
    await office.queue(Template.RESET, name="Ann")
    async with serving(Server()) as server:
        await office.send(office.sender(server, public_url="https://hooks.example/base/"))
    (row,) = await office.rows("SELECT *, mails::text AS dump FROM mails")
    links = SignedLinks(sealer_of(MASTER_KEYS), public_url="")
    for part in server.got[0].iter_parts():
        (link,) = set(re.findall(r"https://hooks\.example/base/reset\?token=([^\s\"<]+)", part.get_content()))
        assert links.read(LinkPurpose.RESET, link) == row["link_id"]
        signature = link.rpartition(".")[2]
        assert len(signature) > 20
        assert signature not in row["dump"]


async def test_what_is_not_due_waits(office: PostOffice) -> None:
    await office.queue()
    await office.rows("UPDATE mails SET next_attempt_at = next_attempt_at + interval '1 hour'")
    async with serving(Server()) as server:
        assert await office.send(office.sender(server))
        assert server.got == []
        office.clock.turn(hours=1)
        await office.send(office.sender(server))
    assert len(server.got) == 1


@pytest.mark.parametrize(
    "over",
    [
        "UPDATE invitations SET withdrawn_at = now()",
        "UPDATE invitations SET accepted_at = now()",
        "UPDATE invitations SET expires_at = now() - interval '1 second'",
        "DELETE FROM invitations",
    ],
)
async def test_a_link_that_can_be_used_no_more_is_not_sent(office: PostOffice, over: str) -> None:
    await office.queue(Template.INVITATION)
    await office.rows(over)
    async with serving(Server()) as server:
        assert await office.send(office.sender(server))
    row = await office.mail()
    assert (server.got, row["state"], row["last_error"]) == ([], "failed", "its link cannot be used any more")


async def test_twenty_senders_at_once_send_each_once(office: PostOffice) -> None:
    async with transaction_of(office.engine) as db:
        for number in range(60):
            to = f"ann{number}@example.com"
            await queue_mail(
                db,
                Template.SUBSCRIPTION_DISABLED,
                organization_id=ORGANIZATION,
                recipient=to,
                parameters={"subscription_id": "sub_1", "url": "https://a.example", "disabled_at": "today"},
            )
    office.clock.turn(seconds=5)
    async with serving(Server()) as server:
        assert all(await asyncio.gather(*(office.send(office.sender(server)) for _ in range(20))))
    assert Counter(message["To"] for message in server.got) == {f"ann{number}@example.com": 1 for number in range(60)}
    assert {row["attempts"] for row in await office.rows("SELECT attempts FROM mails")} == {1}


async def test_killed_before_it_was_marked_it_is_sent_again_under_the_same_id(office: PostOffice) -> None:
    await office.queue()
    async with serving(Server()) as server:
        dying = office.sender(server)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("api.mail.sending.finished", _killed)
            with pytest.raises(Killed):
                await office.send(dying)
        await office.send(office.sender(server))
        assert len(server.got) == 1, "another sender waits: it may be alive and sending"
        office.clock.turn(minutes=1)
        await office.send(office.sender(server))
        await office.send(office.sender(server))
    first, second = server.got
    assert first["Message-ID"] == second["Message-ID"]
    assert first.as_bytes() == second.as_bytes()
    row = await office.mail()
    assert (row["state"], row["attempts"]) == ("sent", 2)


async def _killed(*_: object, **__: object) -> None:
    raise Killed


async def test_a_sender_that_was_too_slow_does_not_mark_what_another_has_taken(office: PostOffice) -> None:
    await office.queue()

    class Slow:
        async def carry(self, _: Letter) -> Trouble:
            office.clock.turn(minutes=2)
            async with serving(Server(answers={"RCPT": "451 later"})) as server:
                await office.send(office.sender(server))
            office.clock.turn(minutes=-1)
            return Trouble("too slow")

    await office.send(MailSender(settings_of(office.url), carrier=Slow(), clock=office.clock))
    row = await office.mail()
    assert (row["last_error"], row["attempts"]) == ("the server refused the recipient (451)", 2)
    assert row["next_attempt_at"] == office.clock.at + timedelta(minutes=1) + WAITS[1]


def test_waits_grow_to_six_hours_and_then_it_is_given_up(office: PostOffice) -> None:
    at = office.clock.at
    whens = [next_attempt_at(at, failures=failures) for failures in range(1, 8)]
    assert [when and (when - at) / timedelta(minutes=1) for when in whens] == [1, 5, 15, 60, 360, None, None]


async def test_a_temporary_answer_is_tried_again_until_it_is_given_up(office: PostOffice) -> None:
    await office.queue(Template.INVITATION)
    async with serving(Server(answers={"RCPT": "451 4.7.1 greylisted, come back"})) as server:
        sender = office.sender(server)
        for wait in WAITS:
            assert await office.send(sender)
            row = await office.mail()
            assert (row["state"], row["next_attempt_at"]) == ("queued", office.clock.at + wait)
            assert row["last_error"] == "the server refused the recipient (451 4.7.1)"
            office.clock.at += wait
        assert await office.send(sender)
    row = await office.mail()
    assert (row["state"], row["attempts"], row["finished_at"]) == ("failed", 6, office.clock.at)


async def test_one_refused_does_not_keep_the_others(office: PostOffice) -> None:
    await office.queue(to="no address")
    await office.queue(Template.VERIFICATION, to="bob@example.com")
    async with serving(Server()) as server:
        assert await office.send(office.sender(server))
    assert [message["To"] for message in server.got] == ["bob@example.com"]
    states = await office.rows("SELECT state, last_error FROM mails ORDER BY id")
    assert [row["state"] for row in states] == ["failed", "sent"]
    assert states[0]["last_error"] == "the recipient is not an e-mail address that we can write to"


async def test_a_row_that_nothing_can_be_made_of_does_not_keep_the_others(office: PostOffice) -> None:
    for odd in ("template = 'odd'", "link_purpose = 'odd'", "link_purpose = NULL", "recipient = E'a@b\nBcc: c@d'"):
        await office.queue(Template.RESET)
        await office.rows(f"UPDATE mails SET {odd} WHERE template = 'reset' AND recipient = 'ann@example.com'")
    await office.rows("UPDATE organizations SET logo_url = 'https://[', primary_color = 'odd', display_name = E'A\nB'")
    await office.queue(Template.INVITATION, to="bob@example.com")
    async with serving(Server()) as server:
        assert await office.send(office.sender(server))
    assert [message["Subject"] for message in server.got] == ["You are invited to A B"]
    assert [row["state"] for row in await office.rows("SELECT state FROM mails ORDER BY id")] == ["failed"] * 4 + [
        "sent"
    ]


async def test_what_its_template_misses_is_named(office: PostOffice) -> None:
    await office.queue(Template.SUBSCRIPTION_DISABLED, url="https://a.example")
    async with serving(Server()) as server:
        assert await office.send(office.sender(server))
    row = await office.mail()
    assert (row["state"], row["last_error"]) == ("failed", "it cannot be written ('subscription_id' is undefined)")


async def test_it_runs_by_itself_and_goes_on_when_the_database_is_back(office: PostOffice, tmp_path: Path) -> None:
    sender = office.sender(mail_folder=tmp_path)
    running = asyncio.create_task(sender.run())
    try:
        await office.queue()
        async with asyncio.timeout(30):
            while (await office.mail())["state"] != "sent":  # noqa: ASYNC110 - nobody tells of a row that changes
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert await asyncio.to_thread(lambda: len(list(tmp_path.glob("*.eml")))) == 1


async def test_without_a_database_it_waits_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.mail.sending._PAUSE_S", 0.01)
    with capture_logs() as logs:
        running = asyncio.create_task(MailSender(settings_of("postgresql://nobody@127.0.0.1:1/nothing")).run())
        async with asyncio.timeout(30):
            while not logs:  # noqa: ASYNC110 - a list
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)  # tries: a warning each would be one too many
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert [(line["event"], line["error"]) for line in logs] == [("mails.waiting", "DatabaseAway")]


async def test_no_log_line_holds_the_link_or_the_address(office: PostOffice) -> None:
    await office.queue()
    with capture_logs() as logs:
        async with serving(Server(answers={"DATA": "554 5.7.1 http://x/reset?token=quoted is bad"})) as server:
            await office.send(office.sender(server))
    assert [line["event"] for line in logs] == ["mail.not_sent"]
    assert not re.search(r"token|ann@|quoted", repr(logs))
