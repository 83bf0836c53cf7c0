"""What the environment can tell a worker; a wrong value is refused by name and a secret is never quoted."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from processors.settings import WorkerSettings
from producers.secret_settings import UnfitSettings
from schemas.sealing import new_master_key
from schemas.waits import DEFAULT_WAITS, parse_schedule


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WorkerSettings.model_fields:
        monkeypatch.delenv(f"HOOKLINE_{name.upper()}", raising=False)


def test_the_default_schedule_is_seven_attempts() -> None:
    assert WorkerSettings().retry_waits == parse_schedule(DEFAULT_WAITS)
    assert WorkerSettings().retry_waits.attempts == 7


@pytest.mark.parametrize(
    ("value", "attempts"), [("1m,2m,4m,8m,16m", 6), ("1s", 2), (",".join(["1s"] * 20), 21), (" 1s , 2s ", 3)]
)
def test_waits_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, value: str, attempts: int) -> None:
    monkeypatch.setenv("HOOKLINE_RETRY_WAITS", value)
    assert WorkerSettings().retry_waits.attempts == attempts


@pytest.mark.parametrize("value", ["", "1 minute", "0s", "8d", "-1s", ",".join(["1s"] * 21), "1s,,2s"])
def test_waits_that_are_none_are_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HOOKLINE_RETRY_WAITS", value)
    with pytest.raises(ValidationError, match="retry_waits"):
        WorkerSettings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKER_SLOT", "a b"),  # it is part of a group member's name and of a URL
        ("WORKER_SLOT", "x/../y"),
        ("WORKER_SLOT", ""),
        ("WORKER_SLOT", "a\n"),
        ("WORKER_SLOT", "x" * 41),
        ("MOST_IN_FLIGHT", "0"),
        ("MOST_REPLAYING", "0"),
        ("MOST_HELD_RECORDS", "9"),
        ("MOST_HELD_BYTES", "1023"),
        ("SESSION_TIMEOUT_S", "5.9"),  # brokers refuse less (group.min.session.timeout.ms)
        ("SESSION_TIMEOUT_S", "61"),
        ("STOP_WITHIN_S", "-1"),
        ("STALLED_AFTER_S", "4"),
        ("PARTITIONS", "0"),
        ("REPLICATION_FACTOR", "8"),
        ("EVENTS_RETENTION_DAYS", "0"),
        ("DEVELOPMENT", "perhaps"),
    ],
)
def test_an_unfit_value_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"HOOKLINE_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        WorkerSettings()


@pytest.mark.parametrize("slot", ["0", "worker-17", "a_B", "x" * 40])
def test_a_slot_is_a_short_name(slot: str) -> None:
    assert WorkerSettings(worker_slot=slot).worker_slot == slot


def test_loopback_is_off_unless_somebody_asks() -> None:
    assert WorkerSettings().development is False


def test_the_master_key_opens_what_it_sealed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key = new_master_key()
    sealed = WorkerSettings(master_keys=SecretStr(key)).sealer().seal(b"x", organization="o", row="r", purpose="p")
    (tmp_path / "keys").write_text(key + "\n")
    monkeypatch.setenv("HOOKLINE_MASTER_KEYS_FILE", str(tmp_path / "keys"))
    assert WorkerSettings().sealer().open(sealed, organization="o", row="r", purpose="p") == b"x"


@pytest.mark.parametrize("keys", [None, "", "k1:c2hvcnQ=", "nonsense-that-is-secret", "k1:!!!"])
def test_without_a_fit_master_key_there_is_no_sealer_and_no_key_in_the_error(keys: str | None) -> None:
    with pytest.raises(UnfitSettings, match="HOOKLINE_MASTER_KEYS") as caught:
        WorkerSettings(master_keys=None if keys is None else SecretStr(keys)).sealer()
    for part in ("c2hvcnQ=", "nonsense-that-is-secret", "!!!"):
        assert part not in str(caught.value)


def test_a_master_key_stands_in_no_repr() -> None:
    key = new_master_key()
    assert key.split(":")[1] not in repr(WorkerSettings(master_keys=SecretStr(key)))


def test_tiers_follow_the_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKLINE_RETRY_WAITS", "5m,1m,5m")
    assert WorkerSettings().retry_waits.tiers == (timedelta(minutes=1), timedelta(minutes=5))
