"""`hookline outbox`: the table of a service's own transactional outbox, and its relay (docs/publishing.md)."""

from typing import Annotated

import typer

from compose.commands.options import new_group

app = new_group("Send what a service wrote into its own outbox, and print the outbox's table.")

Table = Annotated[str, typer.Option(help="The outbox's table.")]
DEFAULT_TABLE = "hookline_event_outbox"  # producers/event_outbox.py's; with it comes SQLAlchemy, and `--help` waits


@app.command()
def relay(
    database_url: Annotated[
        str, typer.Option(envvar="DATABASE_URL", metavar="URL", help="The service's database.", show_envvar=True)
    ],
    table: Table = DEFAULT_TABLE,
) -> None:
    """Send a service's committed events to Kafka until SIGTERM or SIGINT; several may run at once.

    \b
    Settings: DATABASE_URL, KAFKA_…
    Example:
      DATABASE_URL=postgresql://billing@db/billing KAFKA_BOOTSTRAP_SERVERS=kafka:9092 hookline outbox relay
    """
    import sys

    from compose.logs import configure_logs
    from compose.running import run_outbox_relay
    from compose.settings import ProcessSettings

    configure_logs(sys.stdout, level=ProcessSettings().log_level or "info")
    run_outbox_relay(database_url, table)


@app.command()
def ddl(table: Table = DEFAULT_TABLE) -> None:
    """Print the SQL that makes the outbox's table, for services whose migrations are not Alembic's.

    \b
    Example:
      hookline outbox ddl | psql "$DATABASE_URL"
    """
    from producers.event_outbox import EventOutbox

    typer.echo(EventOutbox(source="/", table=table).ddl(), nl=False)
