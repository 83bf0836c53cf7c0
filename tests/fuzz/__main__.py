"""`make fuzz`: many requests, a table of what came back, exit code 1 when anything breaks the description."""

import argparse
import random
import sys
import tempfile
from pathlib import Path

import structlog
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from compose.kafka import EmbeddedKafka
from compose.postgres import EmbeddedPostgres
from tests.fuzz.driving import Findings
from tests.fuzz.running import run

INPUTS = 10_000


def main() -> int:
    """Run with servers of its own; print the seed first, so that a run can be had again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=INPUTS, help=f"at least as many requests (default {INPUTS})")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="the seed of an earlier run")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    console = Console()
    console.print(f"seed {arguments.seed}")
    with tempfile.TemporaryDirectory(prefix="hookline-fuzz-", ignore_cleanup_errors=True) as folder:
        kafka, postgres = EmbeddedKafka(Path(folder) / "kafka"), EmbeddedPostgres(Path(folder) / "pg", durable=False)
        try:
            kafka.start()
            postgres.start()
            kafka.wait_until_ready()
            postgres.wait_until_ready()
            with Progress(console=console) as bar:
                task = bar.add_task("requests", total=arguments.inputs)
                findings = run(
                    postgres.database_url,
                    kafka.bootstrap_servers,
                    inputs=arguments.inputs,
                    seed_=arguments.seed,
                    progress=lambda found: bar.update(task, completed=found.inputs),
                )
        finally:
            postgres.stop()
            kafka.stop()
    return _tell(console, findings, arguments.inputs)


def _tell(console: Console, findings: Findings, wanted: int) -> int:
    table = Table("operation", "answers")
    for label, answers in sorted(findings.answers.items()):
        table.add_row(label, ", ".join(f"{status}: {count}" for status, count in sorted(answers.items())))
    console.print(table)
    for name, told in findings.breaches.items():
        console.print(f"\nBREACH {name}", style="bold red")
        console.print(told, markup=False, highlight=False)
    console.print(f"{findings.inputs} requests, {dict(findings.modes)}; {len(findings.breaches)} breaches")
    return 0 if findings.inputs >= wanted and not findings.breaches else 1


if __name__ == "__main__":
    sys.exit(main())
