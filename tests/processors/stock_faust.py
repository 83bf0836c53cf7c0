"""A worker as Faust's documentation writes it, on its defaults: the control that must fail.

`python -m tests.processors.stock_faust MODE BOOTSTRAP TOPIC GROUP FILE` appends what the agent was given to FILE.
"""

import sys
from pathlib import Path

import faust

_, mode, bootstrap, topic, group, file = sys.argv if len(sys.argv) == 6 else ["", "", "", "", "", ""]
app = faust.App(
    group or "unused",
    broker=f"kafka://{bootstrap}",
    topic_disable_leader=True,
    web_enabled=False,
    broker_commit_interval=0.2,
    consumer_auto_offset_reset="earliest",
)
seen = Path(file or "/dev/null")


def note(value: object) -> None:
    with seen.open("a") as out:
        out.write(f"{value}\n")


if mode == "raises":

    @app.agent(app.topic(topic, value_type=bytes, value_serializer="raw"))
    async def raising(stream):  # type: ignore[no-untyped-def]  # as its documentation writes it
        async for value in stream:
            note(value.decode())
            if value == b"1":
                raise RuntimeError("the database was away for a moment")

elif mode == "undecodable":

    @app.agent(app.topic(topic, value_type=int, value_serializer="json"))
    async def decoding(stream):  # type: ignore[no-untyped-def]  # as its documentation writes it
        async for value in stream:
            note(value)


if __name__ == "__main__":
    sys.argv = ["faust", "worker", "--without-web", "-l", "error"]
    app.main()
