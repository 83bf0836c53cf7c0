"""docs/production.md names every setting as the code has it."""

from compose.settings_table import DOCUMENT, settings_classes, tables, variables, written


def test_the_document_is_of_today() -> None:
    document = DOCUMENT.read_text()
    assert written(document) == document, "run `make settings`"


def test_every_settings_class_is_found_by_itself() -> None:
    assert {"KafkaSettings", "WorkerSettings", "ApiSettings", "ProcessSettings"} <= {
        each.__name__ for each in settings_classes()
    }
    assert {"DATABASE_URL", "KAFKA_SASL_PASSWORD", "HOOKLINE_WORKER_SLOT", "HOOKLINE_READY_FILE"} <= variables()


def test_a_row_says_type_range_default_and_meaning() -> None:
    rows = {line.split("`")[1]: line for line in tables().splitlines() if line.startswith("| `")}
    assert set(rows) == variables()
    assert rows["HOOKLINE_PARTITIONS"].startswith(
        "| `HOOKLINE_PARTITIONS` | whole number, from 1 to 1000 | `8` | Partitions"
    )
    assert "`1m,5m,15m,1h,6h,24h`" in rows["HOOKLINE_RETRY_WAITS"]
    assert "holds `HOOKLINE_ADMIN_TOKEN`" in rows["HOOKLINE_ADMIN_TOKEN_FILE"]
