"""The Faust app of a worker, with every setting that FAUST.md asks for and why."""

import hashlib
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import faust
from faust.types.auth import CredentialsT

from processors.errors import WorkerError
from processors.handing_on import StraightTransport
from processors.settings import LONGEST_TIMEOUT, WorkerSettings
from producers.settings import KafkaSettings
from schemas.topics import CLOUDEVENTS, DELIVER, EVENTS, REPLAY

TOPICS: Final = (EVENTS, CLOUDEVENTS, DELIVER, REPLAY)  # each has a stream of its own
MOST_POLLED: Final = 400  # records a poll and partition
_BUFFER: Final = 65_536  # records that a stream's queue holds; checked against the polls below (F10)
_PRESSURE: Final = 0.2  # what is left of a queue when Faust's flow control begins


def instance_id(settings: WorkerSettings, topics: Sequence[str] = TOPICS) -> str:
    """Return the static member's name (F6): the slot's, and a hash of the topics that it reads.

    A static member that comes back with one more topic causes no rebalance, and the topic belongs to nobody (F17): with
    another name it is another member.
    """
    digest = hashlib.sha256(",".join(sorted(topics)).encode()).hexdigest()[:8]
    return f"{settings.worker_group}-{settings.worker_slot}-{digest}"


def new_app(settings: WorkerSettings, kafka: KafkaSettings) -> faust.App:
    """Return the app, not started, without agents. Raises WorkerError when its buffers cannot hold a poll."""
    if settings.partitions * MOST_POLLED >= _PRESSURE * _BUFFER:
        raise WorkerError(
            f"{settings.partitions} partitions are more than one worker's buffer is sized for:"
            f" at most {math.ceil(_PRESSURE * _BUFFER / MOST_POLLED) - 1}"
        )
    app = faust.App(
        settings.worker_group,
        broker=[f"aiokafka://{server.strip()}" for server in kafka.bootstrap_servers.split(",")],
        broker_credentials=_credentials(kafka),
        store="memory://",
        # Faust makes this folder though nothing goes into it; by default where the process was started.
        datadir=Path(tempfile.gettempdir()) / instance_id(settings),
        autodiscover=False,
        # What a record is, the body decides: a record that does not decode restarts an agent for 5 s (F5).
        key_serializer="raw",
        value_serializer="raw",
        # Static membership, and named by the slot: by default by the host, which changes (F6, F18).
        consumer_group_instance_id=instance_id(settings),
        canonical_url=f"http://{settings.worker_group}-{settings.worker_slot}",
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / 3,
        broker_request_timeout=max(30.0, settings.session_timeout_s * 2),
        broker_rebalance_timeout=LONGEST_TIMEOUT.total_seconds(),
        # Leaving the group after nothing was fetched for this long must not happen while partitions are held back (F9).
        broker_max_poll_interval=24 * 3600.0,
        broker_commit_interval=0.25,
        broker_max_poll_records=MOST_POLLED,
        stream_buffer_maxsize=_BUFFER,
        # Waiting for empty streams has no deadline (F4); our own acks need no wait (F3).
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        consumer_auto_offset_reset="earliest",
        # Topics are declared in schemas/topics.py and created by `hookline topics apply` (F14).
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        agent_supervisor="mode.CrashingSupervisor",  # on_error= raises TypeError in 0.15.3 (F16)
        reply_create_topic=False,
    )
    app.transport = StraightTransport(app.conf.broker_consumer, app)
    return app


def raw_topic(app: faust.App, name: str, partitions: int) -> Any:
    """Return Faust's handle of a topic whose keys and values stay bytes."""
    return app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw",
                     partitions=partitions, allow_empty=True)  # fmt: skip


def _credentials(kafka: KafkaSettings) -> CredentialsT | None:
    if kafka.security_protocol == "PLAINTEXT":
        return None
    import ssl  # noqa: PLC0415 - only with TLS or SASL

    context = ssl.create_default_context(cafile=kafka.ssl_ca_location)
    if kafka.security_protocol == "SSL":
        return faust.SSLCredentials(context)
    return faust.SASLCredentials(
        mechanism=kafka.sasl_mechanism,
        username=kafka.sasl_username,
        password=kafka.sasl_password.get_secret_value() if kafka.sasl_password else None,
        ssl_context=context if kafka.security_protocol == "SASL_SSL" else None,
    )
