"""What a worker loads of an assignment: once for all its topics, anew for the next one. On the real Kafka."""

import asyncio
import uuid

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from structlog.testing import capture_logs

from processors.lanes.cursor_log import CursorLog
from processors.lanes.takeover import Takeovers
from processors.skipping import Finished, OutcomeTail
from producers.handover import Handover, LoopProducer
from schemas.topics import DELIVER, EVENTS, REPLAY

pytestmark = pytest.mark.kafka


@pytest.fixture
def behind(topics: str) -> str:
    name = f"behind-{uuid.uuid4().hex[:12]}"
    admin = AdminClient({"bootstrap.servers": topics})  # gone before its answer, it would give none
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(30)
    return name


async def test_both_topics_of_one_assignment_share_one_loading(
    topics: str, behind: str, producer: LoopProducer
) -> None:
    config = {"bootstrap.servers": topics}
    group = f"worker-{uuid.uuid4().hex[:12]}"
    committing = Consumer({**config, "group.id": group})
    committing.commit(offsets=[TopicPartition(DELIVER, 0, 17)], asynchronous=False)
    committing.close()
    superseded: list[BaseException] = []
    cursors = CursorLog(
        config, producer, Handover(asyncio.get_running_loop()), on_superseded=superseded.append, topic=behind
    )
    takeovers = Takeovers(
        config,
        group=group,
        assigned=lambda: [(EVENTS, 3), (DELIVER, 0), (REPLAY, 0)],
        tail=OutcomeTail(config, Finished()),
        cursors=cursors,
    )
    with capture_logs() as lines:
        live, replayed = await asyncio.gather(takeovers.of(DELIVER, 7), takeovers.of(REPLAY, 7))
        assert await takeovers.of(DELIVER, 7) == live
        assert (live.committed, replayed.committed) == ({0: 17}, {0: 0})
        assert [line["event"] for line in lines].count("skip_set.loaded") == 1
        assert [line["event"] for line in lines].count("cursors.loaded") == 1
        await takeovers.of(REPLAY, 8)
    cursors.let_go()
    assert [line["partitions"] for line in lines if line["event"] == "cursors.loaded"] == [1, 1]
    assert not superseded
