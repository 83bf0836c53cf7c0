"""For people: how far a subscription is behind, and why."""

from compose.asking import Body
from compose.showing.tables import console, exact_time_of, number_of, print_fields, print_table, time_of


def print_lag(lag: Body) -> None:
    """Print what waits for a subscription, and where."""
    held = lag["held"]
    print_fields(
        [
            ("undelivered", number_of(lag["count"])),
            ("oldest", exact_time_of(lag["oldest"])),
            ("oldest event", lag["oldest_event_id"]),
            ("held", f"{number_of(held['count'])}, the oldest of {time_of(held['oldest'])}" if held["count"] else None),
            ("behind", None if lag["behind"] is None else reason_of(lag["behind"])),
        ]
    )
    if lag["where"]:
        console().print()
        rows = [
            (each["place"], number_of(each["count"]), time_of(each["oldest"]), time_of(each["next_due_at"]))
            for each in lag["where"]
        ]
        print_table(("WHERE", "DELIVERIES", "OLDEST", "NEXT"), rows)


def reason_of(behind: Body) -> str:
    """Return why a subscription is behind, since when and until when, in one line."""
    later = f", nothing before {exact_time_of(behind['not_before'])}" if behind["not_before"] else ""
    parked = f", {number_of(behind['parked_keys'])} keys parked" if behind.get("parked_keys") else ""
    return f"{behind['reason']} since {exact_time_of(behind['since'])}{later}{parked}"
