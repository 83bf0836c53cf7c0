"""Long jobs for people."""

from collections.abc import Sequence

from compose.asking import Body
from compose.showing.tables import coloured, exact_time_of, print_fields, print_table, time_of


def print_jobs(jobs: Sequence[Body]) -> None:
    """Print a table of jobs."""
    rows = [
        (each["id"], each["kind"], coloured(each["state"]), progress_of(each), time_of(each["created_at"]))
        for each in jobs
    ]
    print_table(("JOB", "KIND", "STATE", "PROGRESS", "CREATED (UTC)"), rows, folding=[3])


def print_job(job: Body) -> None:
    """Print one job."""
    print_fields(
        [
            ("id", job["id"]),
            ("kind", job["kind"]),
            ("state", coloured(job["state"])),
            ("progress", progress_of(job)),
            ("created", exact_time_of(job["created_at"])),
            ("started", exact_time_of(job["started_at"])),
            ("finished", exact_time_of(job["finished_at"])),
            ("error", job["error"]),
            ("all of it", job["href"]),
        ]
    )


def progress_of(job: Body) -> str:
    """Return how far a job is, in words."""
    progress = job["progress"]
    if progress["total"] is None:
        return f"{progress['done']:,} {progress['unit']}"
    return f"{progress['done']:,} of {progress['total']:,} {progress['unit']} ({progress['percent']:g} %)"
