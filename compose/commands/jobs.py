"""`hookline jobs`: how far every long job is, whatever it does."""

from enum import StrEnum
from typing import Annotated

import typer

from compose.commands.options import Json, JsonArray, Limit, Organization, asked_api, new_group, path_of

app = new_group("See how far long jobs are: replays, and whatever else takes its time.")


class JobKind(StrEnum):
    """What a job does."""

    REPLAY = "replay"


class JobState(StrEnum):
    """Where a job stands."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"


@app.command("list")
def list_(
    kind: Annotated[JobKind | None, typer.Option(help="Only of this kind.")] = None,
    state: Annotated[JobState | None, typer.Option(help="Only in this state.")] = None,
    limit: Limit = None,
    json: JsonArray = False,
    organization: Organization = None,
) -> None:
    """List long jobs, newest first.

    \b
    Examples:
      hookline jobs list
      hookline jobs list --state running --json
    """
    with asked_api(organization) as api:
        from compose.showing.jobs import print_jobs
        from compose.showing.lists import print_list

        print_list(api, "/jobs", {"kind": kind, "state": state}, limit=limit, as_json=json, show=print_jobs)


@app.command()
def show(
    job: Annotated[str, typer.Argument(metavar="ID", help="The job's id.")],
    json: Json = False,
    organization: Organization = None,
) -> None:
    """Show how far a job is.

    \b
    Example:
      hookline jobs show rpl_019ab4…
    """
    with asked_api(organization) as api:
        from compose.showing.bodies import print_body
        from compose.showing.jobs import print_job

        found = api.get(path_of("jobs", job))
        print_body(found) if json else print_job(found)
