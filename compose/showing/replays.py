"""Replays for people."""

from collections.abc import Sequence
from datetime import timedelta
from json import dumps

from compose.asking import Body
from compose.showing.tables import (
    coloured,
    exact_time_of,
    number_of,
    print_fields,
    print_table,
    time_of,
    two_lines,
)

_ENDS = ("succeeded", "failed", "held", "skipped", "cancelled")


def print_replays(replays: Sequence[Body]) -> None:
    """Print a table of replays."""
    rows = [
        (
            two_lines(each["id"], chosen_by(each)),
            coloured(each["state"]),
            f"{each['succeeded']:,} of {each['total']:,}",
            number_of(each["failed"]),
            time_of(each["created_at"]),
        )
        for each in replays
    ]
    print_table(("REPLAY, WHAT", "STATE", "ARRIVED", "FAILED", "CREATED (UTC)"), rows, folding=[0])


def print_replay(replay: Body) -> None:
    """Print one replay; counts that are 0 are left out."""
    print_fields(
        [
            ("id", replay["id"]),
            ("state", coloured(replay["state"])),
            ("what", chosen_by(replay)),
            ("log read", _read_of(replay)),
            ("deliveries", "not counted yet" if replay["state"] == "pending" else number_of(replay["total"])),
            ("sent", number_of(replay["sent"])),
            *((name, number_of(replay[name]) if replay[name] else None) for name in _ENDS),
            ("bodies", "as the subscription has them now" if replay.get("payload") == "current" else None),
            ("rate", f"at most {replay['rate_per_s']:g}/s"),
            ("created", exact_time_of(replay["created_at"])),
            ("started", exact_time_of(replay["started_at"])),
            ("paused", exact_time_of(replay.get("paused_at"))),
            ("finished", exact_time_of(replay["finished_at"])),
            ("ended early", replay.get("error")),
        ]
    )


def print_estimate(estimate: Body) -> None:
    """Print what a replay would send; of the log also by type, how long it takes and where it is read."""
    if "by_type" not in estimate:
        print(f"{estimate['count']:,} deliveries would be sent again")
        return
    about = "about " if estimate["is_estimate"] else ""
    read, minutes = estimate["read_from"], timedelta(seconds=round(estimate["seconds"]))
    print_fields(
        [
            ("deliveries", f"{about}{estimate['count']:,}"),
            ("of events", f"{about}{estimate['events']:,}"),
            ("held", f"{about}{estimate['held']:,}: their subscription is disabled" if estimate["held"] else None),
            ("size", f"{about}{estimate['size_bytes'] / 1e6:,.1f} MB"),
            ("takes", f"{minutes} at least"),
            ("read from", f"Kafka {read['kafka']:,}, stored bodies {read['stored']:,}"),
        ]
    )
    rows = [(each["type"], number_of(each["events"]), number_of(each["count"])) for each in estimate["by_type"]]
    if rows:
        print_table(("EVENT TYPE", "EVENTS", "DELIVERIES"), rows)


def _read_of(replay: Body) -> str | None:
    read = replay.get("log")
    return None if read is None else f"{read['read']:,} of {read['total']:,} offsets ({read['percent']:g} %)"


def chosen_by(replay: Body) -> str:
    """Return what a replay sends, in the words of its options."""
    if replay["is_retry"]:
        return "one delivery, by hand"
    asked = replay["filter"]
    types = "".join(f" --event-type {each}" for each in asked["event_types"] or ())
    options = [
        f"--{name} {asked[key]}"
        for name, key in (
            ("state", "state"),
            ("subscription", "subscription_id"),
            ("since", "since"),
            ("until", "until"),
        )
        if asked[key] is not None
    ]
    if replay.get("source") == "log":
        options.insert(0, "--source log")
        for option, side in (("from-offset", "from"), ("to-offset", "to")):
            options += [f"--{option} {number}:{at}" for number, at in (asked["offsets"] or {}).get(side, {}).items()]
        options += [f"--filters '{dumps(asked['filters'])}'"] if asked["filters"] else []
    return f"{' '.join(options)}{types}".strip() or "everything that has ended"


def print_items(items: Sequence[Body]) -> None:
    """Print the deliveries of a replay."""
    rows = [
        (each["delivery_id"], two_lines(each["subscription_id"], each["detail"] or ""), coloured(each["state"]))
        for each in items
    ]
    print_table(("DELIVERY", "SUBSCRIPTION, WHY", "STATE"), rows, folding=[1])
