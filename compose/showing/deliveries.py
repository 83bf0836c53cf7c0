"""Deliveries for people."""

from collections.abc import Sequence

from compose.asking import Body
from compose.showing.attempts import print_attempts
from compose.showing.tables import coloured, exact_time_of, number_of, print_fields, print_table, time_of
from compose.showing.tables import two_lines as lines


def print_deliveries(deliveries: Sequence[Body]) -> None:
    """Print a table of deliveries, two lines each: three ids of 36 characters do not fit in one."""
    rows = [
        (
            lines(each["id"], each["subscription_id"]),
            lines(each["event_type"], each["event_id"]),
            lines(_state(each), time_of(each["last_attempt_at"])),
        )
        for each in deliveries
    ]
    columns = ("DELIVERY, SUBSCRIPTION", "EVENT", "STATE, LAST TRY (UTC)")
    print_table(columns, rows, folding=[2])


def print_delivery(delivery: Body) -> None:
    """Print a delivery with every attempt."""
    last = [str(delivery["status"] or ""), delivery["error_kind"] or "", delivery["error"] or ""]
    print_fields(
        [
            ("id", delivery["id"]),
            ("state", coloured(delivery["state"])),
            ("event", f"{delivery['event_type']}  {delivery['event_id']}"),
            ("subscription", delivery["subscription_id"]),
            ("key", delivery["key"]),
            ("test", "yes" if delivery["is_test"] else None),
            ("round", "first" if delivery["round"] == "0" else delivery["round"]),
            ("attempts", number_of(delivery["attempt_count"])),
            ("last came to", "  ".join(part for part in last if part) or None),
            ("created", exact_time_of(delivery["created_at"])),
            ("next attempt", exact_time_of(delivery["next_attempt_at"])),
            ("finished", exact_time_of(delivery["finished_at"])),
        ]
    )
    print_attempts(delivery["attempts"])


def _state(delivery: Body) -> str:
    came_to = delivery["status"] or delivery["error_kind"] or ""
    return f"{delivery['state']} {delivery['attempt_count']}× {came_to}".rstrip()
