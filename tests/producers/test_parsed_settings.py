"""HOOKLINE_PORTS, which the API and the workers read alike."""

import pytest
from pydantic import ValidationError

from api.settings import ApiSettings
from processors.settings import WorkerSettings


@pytest.mark.parametrize("settings", [ApiSettings, WorkerSettings])
def test_ports_are_read_from_the_environment(
    settings: type[ApiSettings | WorkerSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings().ports == {443, 8443}
    monkeypatch.setenv("HOOKLINE_PORTS", "443, 9443")
    assert settings().ports == {443, 9443}
    assert settings(ports=frozenset({1})).ports == {1}
    for wrong in ("", "https", "0", "65536", "443;8443"):
        monkeypatch.setenv("HOOKLINE_PORTS", wrong)
        with pytest.raises(ValidationError, match="write the ports as numbers from 1 to 65535 between commas"):
            settings()
