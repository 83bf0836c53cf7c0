"""Totals for people."""

from compose.asking import Body
from compose.showing.tables import console, exact_time_of, number_of, print_fields, print_table


def print_stats(stats: Body) -> None:
    """Print an organization's totals, or a subscription's, and the last seven days."""
    rate = stats["success_rate"]
    health = [(name.replace("_", " "), stats.get(name)) for name in ("subscriptions", "active", "consecutive_failures")]
    times = [
        (name.replace("_", " "), stats.get(name)) for name in ("failing_since", "last_success_at", "last_attempt_at")
    ]
    print_fields(
        [
            *((name, None if value is None else number_of(value)) for name, value in health),
            ("deliveries", number_of(stats["deliveries"])),
            ("success rate", "–" if rate is None else f"{rate:.2%}"),
            ("failures", number_of(stats["failures"])),
            ("average duration", _milliseconds(stats["average_duration_ms"])),
            ("p95 duration", _milliseconds(stats["p95_duration_ms"])),
            *((name, number_of(stats[name])) for name in ("pending", "retrying", "dead", "held")),
            *((name, exact_time_of(value)) for name, value in times),
        ]
    )
    console().print()
    names = ("success", "failed", "retrying")
    print_table(
        ("DAY (UTC)", *(name.upper() for name in names)),
        ((day["day"], *(number_of(day[name]) for name in names)) for day in stats["days"]),
    )


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} ms"
