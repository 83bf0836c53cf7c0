"""Settings refuse a start in one clear line that holds no secret."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from api.app import create_app
from api.settings import ApiSettings
from producers.secret_settings import UnfitSettings
from producers.settings import KafkaSettings
from tests.api.conftest import MASTER_KEYS, TOKEN, settings_of

URL = "postgresql://u:secret-password@db/x"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (URL, URL),
        ("postgresql+asyncpg://u:p@db/x?sslmode=require", "postgresql://u:p@db/x?sslmode=require"),
        ("postgres://u:p@db/x", "postgresql://u:p@db/x"),
    ],
)
def test_the_database_is_named_as_libpq_does(given: str, kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", given)
    assert ApiSettings().database_url == kept


def test_another_database_is_refused_without_its_password() -> None:
    with pytest.raises(ValidationError, match="postgresql://") as refused:
        ApiSettings(database_url="mysql://u:secret-password@db/x")
    assert "secret-password" not in str(refused.value)


def test_secrets_are_not_in_a_settings_text() -> None:
    shown = repr(settings_of(URL))
    assert TOKEN not in shown
    assert MASTER_KEYS not in shown
    assert "secret-password" not in shown


def test_production_is_the_default() -> None:
    assert ApiSettings().development is False


def test_secrets_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKLINE_MASTER_KEYS", MASTER_KEYS)
    monkeypatch.setenv("HOOKLINE_ADMIN_TOKEN", TOKEN)
    settings = ApiSettings()
    assert settings.administrators_token() == TOKEN
    sealed = settings.sealer().seal(b"x", organization="o", row="r", purpose="p")
    assert settings_of(URL).sealer().open(sealed, organization="o", row="r", purpose="p") == b"x"


def test_secrets_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{MASTER_KEYS}\n")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    settings = ApiSettings(master_keys_file=tmp_path / "keys", admin_token_file=tmp_path / "token")
    assert settings.administrators_token() == TOKEN
    settings.sealer()


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("master_keys", None, "HOOKLINE_MASTER_KEYS"),
        ("master_keys", "", "HOOKLINE_MASTER_KEYS"),
        ("master_keys", "k1:c2hvcnQ=", "32"),
        ("master_keys", "not-a-key", "id:base64"),
        ("admin_token", None, "HOOKLINE_ADMIN_TOKEN"),
        ("admin_token", "short", "16"),
        ("admin_token", "with spaces in the middle", "16"),
    ],
)
def test_the_app_refuses_to_start_with_unfit_secrets(setting: str, value: str | None, says: str) -> None:
    settings = settings_of(URL, **{setting: value})
    with pytest.raises(UnfitSettings, match=says) as refused:
        create_app(settings, KafkaSettings())
    assert "\n" not in str(refused.value)
    assert not value or value not in str(refused.value)


def test_a_file_that_cannot_be_read_is_named_by_its_setting(tmp_path: Path) -> None:
    with pytest.raises(UnfitSettings, match="HOOKLINE_MASTER_KEYS_FILE"):
        ApiSettings(master_keys_file=tmp_path / "missing").sealer()


def test_every_setting_says_what_it_is_and_in_which_unit() -> None:
    source = Path("api/settings.py")
    lines = (Path(__file__).parents[2] / source).read_text().splitlines()
    for name in ApiSettings.model_fields:
        start = next(number for number, line in enumerate(lines) if line.startswith(f"    {name}:"))
        following = next(
            line for line in lines[start + 1 :] if line.startswith("    ") and not line.startswith("     ")
        )
        if following == "    )":
            following = lines[lines.index(following, start) + 1]
        assert following.startswith('    """'), name
