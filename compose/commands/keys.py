"""`hookline keys`: which master keys are in use, and moving everything to the newest."""

from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from compose.commands.options import end, new_group, say

if TYPE_CHECKING:
    from compose.master_keys import KeyUse, MasterKeys

app = new_group("See what the master keys are used for, and seal everything with the newest one.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def status(json: Json = False) -> None:
    """Show how many values each master key sealed, in PostgreSQL and on Kafka, and which keys may be dropped.

    Exit code 3 when something is sealed with a key that is not in HOOKLINE_MASTER_KEYS: it cannot be opened.

    \b
    Settings: DATABASE_URL, KAFKA_…, HOOKLINE_MASTER_KEYS or …_FILE
    Examples:
      hookline keys status
      hookline keys status --json | jq -r '.keys[] | select(.may_be_dropped) | .id'
    """
    from compose.complaints import ExitCode

    uses = _master_keys().uses()
    _print(uses, as_json=json)
    if any(use.uses and not use.is_here for use in uses):
        raise typer.Exit(ExitCode.UNHEALTHY)


@app.command()
def rotate(
    rate: Annotated[
        float, typer.Option("--rate", metavar="N", min=1, max=100_000, help="Rows a second, at most.")
    ] = 200.0,
    json: Json = False,
) -> None:
    """Seal everything with the first of HOOKLINE_MASTER_KEYS, while all goes on, and say when an older key may go.

    Secrets and headers of subscriptions (each becomes a new version, which reaches the workers), answers kept for
    Idempotency-Key, and the keys that sign access tokens. What is done stays done: after Ctrl-C, a kill or an outage,
    call it again.

    \b
    The whole way from key k1 to k2, nothing stopped:
      1. hookline new-master-key                 prints k2; keep it where k1 is kept
      2. HOOKLINE_MASTER_KEYS=k1:…,k2:…          API, projector, workers: all can open k2 before it seals anything
      3. HOOKLINE_MASTER_KEYS=k2:…,k1:…          API, projector, workers: from here on k2 seals
      4. hookline keys rotate                    with the settings of step 3
      5. HOOKLINE_MASTER_KEYS=k2:…               once `hookline keys status` says that k1 may be dropped
    Backups from before step 4 still need k1.

    Exit code 0 when only the newest key is in use, 1 when not; a next run goes on.

    \b
    Examples:
      hookline keys rotate
      hookline keys rotate --rate 50 --json
    """
    from compose.showing.keys import Progressing

    keys = _master_keys()
    with Progressing() as progressing:
        result = keys.reseal(rows_per_s=rate, tell=progressing.show)
    for unopened in result.unopened[:10]:
        say(unopened)
    uses = keys.uses_when_settled()
    _print(uses, as_json=json, resealed=result.done, unopened=len(result.unopened))
    _end(uses, unopened=len(result.unopened))


def _end(uses: "list[KeyUse]", *, unopened: int) -> NoReturn:
    left = sum(use.uses for use in uses if use.is_here and not use.is_current)
    if left:
        say(f"{left:,} values are not sealed with the newest key yet: `hookline keys rotate` goes on")
    if unopened:
        say(f"{unopened:,} rows do not open with the keys that are here; `hookline keys status` shows which is missing")
    end(well=not left and not unopened)


def _master_keys() -> "MasterKeys":
    import sys

    from compose.logs import configure_logs
    from compose.master_keys import MasterKeys
    from compose.settings import (
        ProcessSettings,
        database_url_of_command,
        kafka_of_command,
        worker_settings_of_command,
    )

    configure_logs(sys.stderr, level=ProcessSettings().log_level or "critical")
    return MasterKeys(database_url_of_command(), kafka_of_command(), worker_settings_of_command().sealer())


def _print(uses: "list[KeyUse]", *, as_json: bool, **more: int) -> None:
    from compose.printing import print_json
    from compose.showing.keys import print_uses

    if as_json:
        print_json({**more, "keys": [use.as_json() for use in uses]})
    else:
        print_uses(uses)
