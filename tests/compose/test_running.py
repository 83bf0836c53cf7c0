"""Each process: starts, says when it is ready, and ends cleanly by either signal."""

import asyncio
import json
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from compose.children import free_port
from compose.complaints import ExitCode
from compose.moving import older_tiers
from compose.running import RunError, wait_for_topics
from compose.topics import apply_topics
from processors.settings import WorkerSettings
from producers.settings import KafkaSettings
from tests.compose.shell import MASTER_KEYS, NO_DATABASE, NOWHERE, hookline, hookline_here, started, wait_for_file

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(bootstrap: str, database_url: str, tmp_path: Path) -> dict[str, str]:
    """Return the environment of a process on the run's servers, in groups of its own."""
    apply_topics(WorkerSettings.model_validate({}), KafkaSettings(bootstrap_servers=bootstrap))
    assert hookline_here("db", "upgrade", DATABASE_URL=database_url).code == 0
    return {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "DATABASE_URL": database_url,
        "HOOKLINE_MASTER_KEYS": MASTER_KEYS,
        "HOOKLINE_ADMIN_TOKEN": "an-administrators-token",
        "HOOKLINE_API_PORT": "0",
        "HOOKLINE_WORKER_GROUP": f"w-{uuid4().hex}",
        "HOOKLINE_MOVER_GROUP": f"m-{uuid4().hex}",
        "HOOKLINE_PROJECTOR_GROUP": f"p-{uuid4().hex}",
        "HOOKLINE_READY_FILE": str(tmp_path / "ready"),
    }


def end(process: subprocess.Popen[bytes], number: signal.Signals) -> list[dict[str, object]]:
    """Ask the process to end; return its log. Fails when it ends otherwise than cleanly."""
    process.send_signal(number)
    out, err = process.communicate(timeout=40)
    assert (process.returncode, err) == (0, b""), (out, err)
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.kafka
@pytest.mark.postgres
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "command", [("api",), ("worker",), ("worker", "--with-mover"), ("mover",), ("projector",), ("relay",)]
)
def test_a_process_gets_ready_and_ends_cleanly(
    command: tuple[str, ...], number: signal.Signals, settings: dict[str, str], tmp_path: Path
) -> None:
    with started(*command, cwd=tmp_path, **settings) as process:
        wait_for_file(tmp_path / "ready", process)
        assert (tmp_path / "ready").read_text() == f"{process.pid}\n"
        lines = end(process, number)
    assert all({"event", "level", "timestamp", "logger"} <= line.keys() for line in lines)
    assert not [line for line in lines if line["level"] in {"error", "critical"}]
    assert not (tmp_path / "ready").exists()
    events = {str(line["event"]) for line in lines}
    assert ("projector.stopped" in events) == (command[-1] == "projector")
    assert ("mover.stopped" in events) == (command[-1] in {"mover", "--with-mover"})


@pytest.mark.kafka
def test_metrics_are_served_where_the_setting_says(settings: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    with started("mover", cwd=tmp_path, **settings, HOOKLINE_METRICS_PORT=str(port)) as process:
        wait_for_file(tmp_path / "ready", process)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            assert b"hookline_mover_overdue_seconds 0.0" in answer.read()
        second = hookline("mover", **{**settings, "HOOKLINE_METRICS_PORT": str(port)})
        end(process, signal.SIGTERM)
    assert second.code == ExitCode.FAILED
    assert f"cannot listen on 127.0.0.1:{port} for metrics" in second.complaint


@pytest.mark.postgres
def test_an_api_whose_port_is_taken_says_which_setting(settings: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = hookline("api", **{**settings, "HOOKLINE_API_PORT": port})
    assert ran.code == ExitCode.FAILED
    assert ran.err == (
        f"hookline: cannot listen on 127.0.0.1:{port} (Address already in use): set HOOKLINE_API_PORT or"
        " HOOKLINE_API_HOST\n"
    )


@pytest.mark.parametrize("command", ["worker", "mover", "projector"])
def test_waits_for_kafka_says_so_and_ends_cleanly_meanwhile(command: str, tmp_path: Path) -> None:
    env = {"KAFKA_BOOTSTRAP_SERVERS": NOWHERE, "DATABASE_URL": NO_DATABASE, "HOOKLINE_MASTER_KEYS": MASTER_KEYS}
    with started(command, cwd=tmp_path, **env) as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert line["event"] == "process.waiting"
        assert NOWHERE in line["waits_for"]
        end(process, signal.SIGTERM)


@pytest.mark.kafka
def test_waits_for_topics_and_goes_on_when_they_are_there(bootstrap: str) -> None:
    kafka = KafkaSettings(bootstrap_servers=bootstrap)
    apply_topics(WorkerSettings.model_validate({}), kafka)
    settings = WorkerSettings.model_validate({"retry_waits": f"{uuid4().int % 500_000 + 1000}ms"})
    stopping, found = threading.Event(), list[object]()
    waiting = threading.Thread(target=lambda: found.append(wait_for_topics(settings, kafka, stopping)))
    waiting.start()
    waiting.join(1.0)
    assert waiting.is_alive()
    apply_topics(settings, kafka)
    waiting.join(60)
    assert len(found) == 1
    assert found[0]


@pytest.mark.kafka
def test_another_partition_count_than_the_topics_have_ends_a_process(bootstrap: str) -> None:
    kafka = KafkaSettings(bootstrap_servers=bootstrap)
    apply_topics(WorkerSettings.model_validate({}), kafka)
    with pytest.raises(RunError, match="HOOKLINE_PARTITIONS says 9: set it to 8"):
        wait_for_topics(WorkerSettings.model_validate({"partitions": 9}), kafka, threading.Event())


def test_tiers_of_an_earlier_schedule_are_found_and_others_topics_are_not() -> None:
    topics = ["hookline.events", "hookline.retry.5m", "hookline.retry.2h", "hookline.retry.mine", "hookline.retry."]
    assert older_tiers(topics, [timedelta(minutes=5)]) == [timedelta(hours=2)]


@pytest.mark.kafka
@pytest.mark.postgres
def test_the_projector_sends_emails(settings: dict[str, str], tmp_path: Path) -> None:
    asyncio.run(_queue_mail(settings["DATABASE_URL"]))
    folder = tmp_path / "mail"
    with started("projector", cwd=tmp_path, **settings, HOOKLINE_MAIL_FOLDER=str(folder)) as process:
        wait_for_file(tmp_path / "ready", process)
        deadline = time.monotonic() + 60
        while not (written := list(folder.glob("[!.]*.eml"))) and time.monotonic() < deadline:
            time.sleep(0.1)
        lines = end(process, signal.SIGTERM)
    assert [path.name.split("-")[1] for path in written] == ["subscription_disabled"]
    assert "sub_1" in written[0].read_text()
    assert {"mail.sent", "sweeping.done"} <= {line["event"] for line in lines}


async def _queue_mail(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(
        "INSERT INTO organizations (id, version, name, created_at, updated_at) VALUES ('org_1', 1, 'A', now(), now())"
    )
    await connection.execute(
        "INSERT INTO mails (id, organization_id, recipient, template, parameters, state, attempts, next_attempt_at,"
        " created_at) VALUES ('mal_1', 'org_1', 'ann@example.com', 'subscription_disabled', $1, 'queued', 0, now(),"
        " now())",
        '{"subscription_id": "sub_1", "url": "https://a.example", "disabled_at": "today", "reason": "gone"}',
    )
    await connection.close()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "HOOKLINE_MASTER_KEYS"),
        ({"HOOKLINE_MASTER_KEYS": MASTER_KEYS, "HOOKLINE_SMTP_URL": "smtp://u:pass@h?tls=no"}, "HOOKLINE_SMTP_URL"),
        ({"HOOKLINE_MASTER_KEYS": MASTER_KEYS, "HOOKLINE_MAIL_FROM": "nobody"}, "HOOKLINE_MAIL_FROM"),
    ],
)
def test_a_projector_that_could_send_no_email_does_not_start(given: dict[str, str], says: str) -> None:
    ran = hookline_here("projector", KAFKA_BOOTSTRAP_SERVERS=NOWHERE, DATABASE_URL=NO_DATABASE, **given)
    assert ran.code == ExitCode.USAGE
    assert says in ran.complaint
    assert "pass@" not in ran.complaint
