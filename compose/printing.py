"""What commands print on stdout: aligned columns for people, JSON for programs."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from compose.database import Revisions
    from compose.diagnosis import Finding
    from compose.topics import Changes, ExistingTopic

_COLOURS: Final = {"ok": typer.colors.GREEN, "warn": typer.colors.YELLOW, "fail": typer.colors.RED}
_INDENT: Final = "      "


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object, indented; whatever orjson can write may be in it."""
    import orjson

    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def print_json_line(value: Mapping[str, Any]) -> None:
    """Print one JSON object on one line, for streams of them."""
    import orjson

    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))


def print_table(rows: Iterable[Sequence[str]]) -> None:
    """Print rows of equal length with their columns aligned, the last one as long as it is."""
    kept = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*kept, strict=True)][:-1]
    for row in kept:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)]
        typer.echo("  ".join([*cells, row[-1]]).rstrip())


def print_findings(findings: Sequence["Finding"], *, as_json: bool) -> bool:
    """Print what the doctor found and return whether nothing failed."""
    healthy = all(finding.verdict != "fail" for finding in findings)
    if as_json:
        print_json({"healthy": healthy, "findings": findings})
        return healthy
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        verdict = typer.style(f"{finding.verdict:4}", fg=_COLOURS[finding.verdict])
        typer.echo(f"{verdict}  {finding.check.ljust(width)}  {finding.detail}")
        if finding.do:
            typer.echo(f"{_INDENT}{' ' * width}→ {finding.do}")
    return healthy


def print_changes(changes: "Changes", *, dry_run: bool, as_json: bool) -> None:
    """Print what `hookline topics apply` did, or would do."""
    if as_json:
        created = [topic.name for topic in changes.created]
        print_json({"dry_run": dry_run, "created": created, "altered": changes.altered, "hints": changes.hints})
        return
    create, alter = ("would create", "would alter") if dry_run else ("created", "altered")
    for topic in changes.created:
        typer.echo(f"{create} {topic.name}: {topic.partitions} partitions, copies {topic.replication_factor}")
    for altered in changes.altered:
        typer.echo(f"{alter} {altered.topic}: {altered.setting} from {altered.was} to {altered.becomes}")
    for hint in changes.hints:
        typer.echo(f"left as it is: {hint}")
    if not changes:
        typer.echo("every topic is as declared")


def print_topics(topics: Sequence["ExistingTopic"], *, as_json: bool) -> None:
    """Print the topics that Kafka has."""
    if as_json:
        kept = [{name: getattr(topic, name) for name in ("name", "partitions", "replication_factor", "leaderless")} | {
            "cleanup_policy": topic.config.get("cleanup.policy"), "retention_ms": _retention_ms(topic)}
            for topic in topics]  # fmt: skip
        print_json({"topics": kept})
        return
    if not topics:
        typer.echo("Kafka has none of our topics: run `hookline topics apply`")
        return
    print_table(
        [
            ("TOPIC", "PARTITIONS", "COPIES", "KEPT"),
            *((topic.name, str(topic.partitions), str(topic.replication_factor), _kept(topic)) for topic in topics),
        ]
    )


def print_revisions(revisions: "Revisions", *, as_json: bool) -> None:
    """Print where the database is."""
    if as_json:
        print_json({"current": revisions.current, "head": revisions.head})
    elif revisions.current == revisions.head:
        typer.echo(f"at {revisions.head}, the newest")
    else:
        typer.echo(f"at {revisions.current or 'nothing'}; this release has {revisions.head}: run `hookline db upgrade`")


def print_upgrade(revisions: "Revisions", *, as_json: bool) -> None:
    """Print from where to where the database was brought."""
    if as_json:
        print_json({"from": revisions.current, "to": revisions.head})
    elif revisions.current == revisions.head:
        typer.echo(f"already at {revisions.head}")
    else:
        typer.echo(f"from {revisions.current or 'nothing'} to {revisions.head}")


def _retention_ms(topic: "ExistingTopic") -> int | None:
    value = topic.config.get("retention.ms")
    return None if value is None or topic.config.get("cleanup.policy") == "compact" else int(value)


def _kept(topic: "ExistingTopic") -> str:
    milliseconds = _retention_ms(topic)
    if milliseconds is None:
        return "the last record of each key"
    return "for ever" if milliseconds < 0 else f"{milliseconds / 86_400_000:.4g} days"
