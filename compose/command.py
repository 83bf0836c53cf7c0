"""The `hookline` command. Each command imports what it runs, so that `--help` is quick; `main` is where errors end."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from compose.commands import (
    applications,
    audit,
    deliveries,
    event_types,
    events,
    jobs,
    keys,
    members,
    outbox,
    quarantine,
    replays,
    schemas,
    stats,
    subscriptions,
    tokens,
    users,
)
from compose.commands.options import new_group
from compose.complaints import ExitCode, complaint_of
from compose.printing import print_json

app = typer.Typer(
    name="hookline",
    add_completion=False,
    rich_markup_mode=None,  # rich's help looks alike and takes three times as long
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": 120},
)
topics_app = new_group("Create and list Kafka's topics.")
db_app = new_group("Bring PostgreSQL's tables to this release.")
for name, group in {
    "subscriptions": subscriptions.app, "deliveries": deliveries.app, "replays": replays.app, "jobs": jobs.app,
    "events": events.app, "quarantine": quarantine.app, "schemas": schemas.app, "keys": keys.app,
    "event-types": event_types.app, "tokens": tokens.app, "applications": applications.app, "members": members.app,
    "users": users.app, "audit": audit.app, "outbox": outbox.app, "topics": topics_app, "db": db_app,
}.items():  # fmt: skip
    app.add_typer(group, name=name)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DEMO_FOLDER = Path(".hookline/demo")


@dataclass(slots=True)
class Session:
    """What the options before the command's name said."""

    debug: bool = False


def main() -> None:
    """Run the command line and exit; what fails is one line on stderr, without a traceback unless --debug is given."""
    session = Session()
    try:
        code = typer.main.get_command(app).main(prog_name="hookline", standalone_mode=False, obj=session)
        _flush_stdout()  # here, where it can still be told that nobody takes it
    except BrokenPipeError:  # `… | head`: who reads has enough; as typer ends what it prints itself
        code = ExitCode.FAILED
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the user sees it, and with --debug all of it
        code, complaint = complaint_of(error)
        if session.debug:
            import traceback

            traceback.print_exception(error)
        print(f"hookline: {complaint}", file=sys.stderr)
    finally:
        _let_go_of_stdout()
    sys.exit(code or ExitCode.OK)


@app.callback(invoke_without_command=True)
def hookline(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and debug logs.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Domain events on Kafka become signed webhooks that arrive.

    \b
    Try it:       hookline demo
    Develop:      hookline up                      (all of it on this machine, data in .hookline/)
                  hookline publish user.created --data '{"id": "user_123"}'
                  hookline doctor
    Manage:       hookline subscriptions list       inspect: hookline events tail, hookline deliveries list
    Send again:   hookline dead-letters             then:    hookline replay --state failed --watch
    Event types:  hookline event-types list         your own: hookline event-types define, hookline event-types check
    Who may call: hookline tokens add billing --scope events:publish     hookline members invite ada@example.com
    In production: hookline topics apply && hookline db upgrade
                  hookline api | worker | mover | projector | relay      (one process each)

    Settings are environment variables: DATABASE_URL, KAFKA_BOOTSTRAP_SERVERS and other KAFKA_…, HOOKLINE_….
    Commands that ask the API need HOOKLINE_API_URL and HOOKLINE_ADMIN_TOKEN, or HOOKLINE_ADMIN_TOKEN_FILE.
    Where .hookline/stack.json exists in the current folder (`hookline up` writes it), commands take from it what the
    environment does not say.

    Exit codes: 0 ok, 1 failed, 2 the command line or a setting does not hold, 3 something is unhealthy, 130 Ctrl-C.
    """
    if debug:
        context.ensure_object(Session).debug = True
        os.environ["HOOKLINE_LOG_LEVEL"] = "debug"
    if version:
        typer.echo(f"hookline {_version()}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def up(
    api_port: Annotated[int, typer.Option(min=0, max=65535, help="The API's port; 0 picks a free one.")] = 8000,
    kafka_port: Annotated[int, typer.Option(min=0, max=65535, help="Kafka's port; 0 picks a free one.")] = 9092,
    folder: Annotated[Path, typer.Option(help="Where data, logs, keys and stack.json are.")] = Path(".hookline"),
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many workers.")] = 1,
) -> None:
    """Run the whole stack in the foreground, for development; Ctrl-C stops it and keeps the data.

    Kafka, PostgreSQL, the API, the relay, the projector, the mover and workers, on this machine only. When all is ready
    the folder holds stack.json (api_url, kafka, database_url) and admin-token (mode 0600).

    \b
    Examples:
      hookline up
      hookline up --api-port 0 --kafka-port 0 --folder /tmp/hookline
    """
    from compose.stack import up as run

    _log_as_command()
    run(folder=folder, api_port=api_port, kafka_port=kafka_port, workers=workers)


@app.command()
def demo(
    json: Json = False,
    folder: Annotated[Path, typer.Option(help="Where it works; emptied first.")] = DEMO_FOLDER,
) -> None:
    """Show the main job: events become signed webhooks, one endpoint recovers, one is given up, mended and replayed.

    Starts a stack of its own with short waits, publishes, verifies every signature, sends the dead letters again over
    REST, and stops everything.

    \b
    Examples:
      hookline demo
      hookline demo --json > result.json
    """
    from compose.demo import run_demo

    _log_as_command()
    _refuse_to_empty(folder)
    run_demo(folder=folder, as_json=json)


@app.command()
def api() -> None:
    """Serve the REST API until SIGTERM or SIGINT.

    \b
    Settings: DATABASE_URL, KAFKA_…, HOOKLINE_MASTER_KEYS or …_FILE, HOOKLINE_ADMIN_TOKEN or …_FILE,
              HOOKLINE_API_HOST, HOOKLINE_API_PORT, HOOKLINE_LOG_LEVEL, HOOKLINE_READY_FILE
    Example:
      HOOKLINE_API_PORT=8080 hookline api
    """
    _log_as_process()
    from compose.running import run_api

    run_api()


@app.command()
def worker(
    with_mover: Annotated[
        bool, typer.Option("--with-mover", help="Move due records in this process too; one slot, one mover.")
    ] = False,
) -> None:
    """Route and deliver until SIGTERM or SIGINT; waits for Kafka and for its topics.

    Each worker that runs at one time has its own HOOKLINE_WORKER_SLOT, kept over restarts.

    \b
    Settings: KAFKA_…, HOOKLINE_MASTER_KEYS or …_FILE, HOOKLINE_WORKER_SLOT, HOOKLINE_RETRY_WAITS,
              HOOKLINE_METRICS_PORT, HOOKLINE_LOG_LEVEL, HOOKLINE_READY_FILE
    Examples:
      HOOKLINE_WORKER_SLOT=0 HOOKLINE_METRICS_PORT=9100 hookline worker
      hookline worker --with-mover
    """
    _log_as_process()
    from compose.running import run_worker

    run_worker(with_mover=with_mover)


@app.command()
def mover() -> None:
    """Move records of the waiting tiers on when they are due, until SIGTERM or SIGINT.

    Needs the same HOOKLINE_RETRY_WAITS as the workers; each mover that runs at one time its own HOOKLINE_WORKER_SLOT.

    \b
    Example:
      HOOKLINE_RETRY_WAITS=1m,2m,4m,8m,16m hookline mover
    """
    _log_as_process()
    from compose.running import run_mover

    run_mover()


@app.command()
def projector() -> None:
    """Write the delivery log into PostgreSQL, keep its tables by day and send replays, until SIGTERM or SIGINT.

    Each projector that runs at one time has its own HOOKLINE_WORKER_SLOT, kept over restarts.

    \b
    Settings: DATABASE_URL, KAFKA_…, HOOKLINE_MASTER_KEYS or …_FILE, HOOKLINE_WORKER_SLOT, HOOKLINE_SMTP_URL,
              HOOKLINE_LOG_RETENTION_DAYS, HOOKLINE_DISABLE_AFTER_…, HOOKLINE_METRICS_PORT, HOOKLINE_LOG_LEVEL,
              HOOKLINE_READY_FILE
    Example:
      HOOKLINE_MASTER_KEYS_FILE=master-keys DATABASE_URL=postgresql://hookline@db/hookline hookline projector
    """
    _log_as_process()
    from compose.running import run_projector

    run_projector()


@app.command()
def relay() -> None:
    """Send changes of subscriptions from PostgreSQL's outbox to Kafka until SIGTERM or SIGINT.

    One sends, others stand by: two of them survive the loss of one.

    \b
    Example:
      DATABASE_URL=postgresql://hookline@db/hookline KAFKA_BOOTSTRAP_SERVERS=kafka:9092 hookline relay
    """
    _log_as_process()
    from compose.running import run_relay

    run_relay()


@app.command()
def publish(  # noqa: PLR0917 - a command's parameters are its options
    type: Annotated[  # noqa: A002
        str | None, typer.Argument(help="The event's type; `hookline schemas list` has them.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="JSON|@FILE|-", help="A JSON object, a file's, or one a line of stdin.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Events, one a line: with type and data, or CloudEvents.")
    ] = None,
    organization: Annotated[str, typer.Option(help="Whose event it is.")] = "org_default",
    key: Annotated[str | None, typer.Option(help="Events of one key keep their order.")] = None,
    previous: Annotated[str | None, typer.Option(metavar="JSON|@FILE", help="What the data was before.")] = None,
    metadata: Annotated[str | None, typer.Option(metavar="JSON|@FILE", help="Whatever should travel along.")] = None,
    source_id: Annotated[str | None, typer.Option("--id", help="Your own id of the event, kept as source_id.")] = None,
    json: Json = False,
) -> None:
    """Publish an event and print its id when Kafka has it; with `--data -` or `--file` one event for each line.

    Of many, a line that does not hold is reported with its number and stops nobody; the last line says how many Kafka
    has, Ctrl-C included, and the exit code is 0 when it has all. Sensitive fields are removed.

    \b
    Examples:
      hookline publish user.created --data '{"id": "user_123"}'
      hookline publish user.updated --data @after.json --previous @before.json --key user_123
      hookline publish hookline.test --data - < data.jsonl
      hookline publish --file events.ndjson
    """
    from dataclasses import replace

    from compose import publishing
    from compose.own_event_types import catalogue_with
    from compose.settings import kafka_of_command
    from producers.publisher import Publisher

    _log_as_command()
    if file is not None:
        others = {"TYPE": type, "--data": data, "--key": key, "--previous": previous, "--metadata": metadata}
        for name, value in {**others, "--id": source_id}.items():
            if value is not None:
                raise typer.BadParameter(f"{name} does not go with it: each line says its own", param_hint="--file")
    elif type is None or data is None:
        raise typer.BadParameter("give TYPE and --data, or --file", param_hint="TYPE")
    if data == "-" and source_id is not None:
        raise typer.BadParameter("one id cannot name many events", param_hint="--id")
    kafka = kafka_of_command()
    sending = publishing.Sending(
        type,
        organization,
        kafka=kafka.bootstrap_servers,
        key=key,
        previous=None if previous is None else publishing.json_given(previous, option="--previous"),
        metadata=None if metadata is None else publishing.json_given(metadata, option="--metadata"),
        source_id=source_id,
    )
    one = None if data in {"-", None} else publishing.json_given(str(data), option="--data")
    lines = sys.stdin.buffer if data == "-" else None if file is None else publishing.opened(file)
    with catalogue_with(type, kafka) as catalogue:
        publisher = Publisher(settings=kafka, source=publishing.SOURCE, catalogue=catalogue)
        try:
            if lines is not None:
                raise typer.Exit(
                    publishing.publish_lines(publisher, replace(sending, catalogue=catalogue), lines, as_json=json)
                )
            event_id = publishing.publish_one(publisher, sending, one)
        finally:
            publisher.close(0.0)
    if json:
        print_json({"id": event_id, "type": type, "organization_id": organization})
    else:
        typer.echo(event_id)


@app.command()
def openapi(
    check: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Print nothing; fail when FILE holds anything else.")
    ] = None,
) -> None:
    """Print the REST API's description, OpenAPI 3.1 as JSON, with the webhooks that receivers get.

    \b
    Examples:
      hookline openapi > openapi.json
      hookline openapi --check docs/openapi.json
    """
    from compose.openapi import check_copy, description

    if check is None:
        sys.stdout.write(description())
    else:
        check_copy(check)


@app.command()
def asyncapi(
    check: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Print nothing; fail when FILE holds anything else.")
    ] = None,
) -> None:
    """Print what is read from Kafka and sent to receivers, by event type: AsyncAPI 3.0 as YAML.

    \b
    Examples:
      hookline asyncapi > asyncapi.yaml
      hookline asyncapi --check docs/asyncapi.yaml
    """
    from api.asyncapi.routes import description
    from compose.copies import check_same

    if check is None:
        sys.stdout.write(description())
    else:
        check_same(check, description(), target="openapi")


app.command()(stats.stats)
app.command("dead-letters")(deliveries.dead_letters)
app.command()(replays.replay)


@app.command("new-master-key")
def new_master_key() -> None:
    """Print a fresh master key for HOOKLINE_MASTER_KEYS. Keep it: without it no secret opens.

    `hookline keys rotate --help` shows the way from one key to the next.

    \b
    Example:
      HOOKLINE_MASTER_KEYS=$(hookline new-master-key)
    """
    from schemas.sealing import new_master_key as made

    typer.echo(made())


@app.command()
def doctor(json: Json = False) -> None:
    """Check Kafka, topics, groups, lag, PostgreSQL, migrations, outbox, overdue work and the master key.

    Exit code 3 when anything fails. Takes at most 15 s, whatever is away.

    \b
    Examples:
      hookline doctor
      hookline doctor --json | jq '.findings[] | select(.verdict != "ok")'
    """
    from api.projection.settings import ProjectorSettings
    from compose.doctor import examine
    from compose.printing import print_findings
    from compose.settings import database_url_of_command, kafka_of_command, worker_settings_of_command

    _log_as_command()
    findings = examine(
        worker_settings_of_command(),
        kafka_of_command(),
        database_url_of_command(),
        projector_group=ProjectorSettings().projector_group,
    )
    healthy = print_findings(findings, as_json=json)
    raise typer.Exit(ExitCode.OK if healthy else ExitCode.UNHEALTHY)


@topics_app.command("apply")
def topics_apply(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    json: Json = False,
) -> None:
    """Create the topics that are missing and alter settings that differ; doing it again does nothing.

    A partition count is fixed when a topic is created: a difference is refused before anything is done.

    \b
    Settings: HOOKLINE_RETRY_WAITS, HOOKLINE_PARTITIONS, HOOKLINE_REPLICATION_FACTOR, HOOKLINE_EVENTS_RETENTION_DAYS
    Examples:
      hookline topics apply --dry-run
      HOOKLINE_PARTITIONS=32 HOOKLINE_REPLICATION_FACTOR=3 hookline topics apply
    """
    from compose.printing import print_changes
    from compose.settings import kafka_of_command, worker_settings
    from compose.topics import Brokers, apply_topics, planned_changes, topics_of

    _log_as_command()
    settings, kafka = worker_settings(), kafka_of_command()
    changes = planned_changes(Brokers(kafka), topics_of(settings)) if dry_run else apply_topics(settings, kafka)
    print_changes(changes, dry_run=dry_run, as_json=json)


@topics_app.command("list")
def topics_list(json: Json = False) -> None:
    """List the topics that Kafka has of ours.

    \b
    Example:
      hookline topics list --json
    """
    from compose.printing import print_topics
    from compose.settings import kafka_of_command
    from compose.topics import Brokers, existing_topics

    _log_as_command()
    print_topics(list(existing_topics(Brokers(kafka_of_command())).values()), as_json=json)


@db_app.command("upgrade")
def db_upgrade(json: Json = False) -> None:
    """Bring the tables to this release's newest revision, in one transaction; doing it again does nothing.

    \b
    Example:
      DATABASE_URL=postgresql://hookline@db/hookline hookline db upgrade
    """
    from compose.database import upgrade_database
    from compose.printing import print_upgrade
    from compose.settings import database_url_of_command

    _log_as_command()
    print_upgrade(upgrade_database(database_url_of_command()), as_json=json)


@db_app.command("downgrade")
def db_downgrade(
    revision: Annotated[str, typer.Argument(help="Where to go back to: 0001 and so on; base: nothing is left.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Take the tables back to an earlier revision, in one transaction. What only later ones keep is LOST: dump first.

    \b
    Stop what runs of this release before it: it does not work with tables of an earlier one.

    \b
    Example:
      DATABASE_URL=postgresql://hookline@db/hookline hookline db downgrade 0004 --yes
    """
    from api.migrations import NOTHING, known_revisions
    from compose.database import downgrade_database, place_of
    from compose.printing import print_upgrade
    from compose.settings import database_url_of_command

    if revision not in (known := [NOTHING, *known_revisions()]):
        raise typer.BadParameter(f"{revision!r} is none of {', '.join(known)}", param_hint="REVISION")
    _log_as_command()
    url = database_url_of_command()
    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter("without a terminal to ask on, say --yes", param_hint="--yes")
        typer.confirm(f"Take {place_of(url)} back to {revision}, with the loss of what later ones keep?", abort=True)
    print_upgrade(downgrade_database(url, revision), as_json=json)


@db_app.command("current")
def db_current(json: Json = False) -> None:
    """Print the database's revision and this release's newest.

    \b
    Example:
      hookline db current
    """
    from compose.database import revisions_of
    from compose.printing import print_revisions
    from compose.settings import database_url_of_command

    _log_as_command()
    print_revisions(revisions_of(database_url_of_command()), as_json=json)


def _let_go_of_stdout() -> None:
    """Throw away what cannot be written: Python would try again at its end, complain, and exit with 120."""
    try:
        _flush_stdout()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _flush_stdout() -> None:
    if sys.stdout is not None:  # as it is when the shell closed it
        sys.stdout.flush()


def _log_as_process() -> None:
    """Logs are what a process has to say: to stdout, from `info` on."""
    from compose.logs import configure_logs
    from compose.settings import ProcessSettings

    configure_logs(sys.stdout, level=ProcessSettings().log_level or "info")


def _log_as_command() -> None:
    """A command's answer is on stdout; what it logs is beside the point unless it is asked for."""
    from compose.logs import configure_logs
    from compose.settings import ProcessSettings

    configure_logs(sys.stderr, level=ProcessSettings().log_level or "critical")


def _refuse_to_empty(folder: Path) -> None:
    """The demo empties its folder first: never one that holds something else, such as what `hookline up` keeps."""
    from compose.stack import DISPOSABLE

    # Demos of earlier releases left no other mark than a lock, as `hookline up` does.
    mark = "lock" if folder == DEMO_FOLDER else DISPOSABLE
    if folder.is_dir() and any(folder.iterdir()) and not (folder / mark).exists():
        raise typer.BadParameter(f"{folder} is not empty, and not of an earlier demo", param_hint="--folder")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("hookline")
    except PackageNotFoundError:  # a checkout that was not installed
        import tomllib

        project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
        return str(project["project"]["version"])


if __name__ == "__main__":
    main()
