"""What `hookline demo` may empty: what an earlier demo left, and nothing that anybody keeps or uses."""

import fcntl
from pathlib import Path

import pytest

from compose.stack import DISPOSABLE, FolderInUse, Stack
from tests.compose.shell import hookline_here


def test_a_demo_does_not_empty_the_folder_of_hookline_up(tmp_path: Path) -> None:
    """Such a folder has a lock too, that of the last stack, and the only copy of its master keys."""
    for name in ("lock", "master-keys"):
        (tmp_path / name).write_text("1")

    ran = hookline_here("demo", "--folder", str(tmp_path), cwd=tmp_path)

    assert (ran.code, "is not empty" in ran.complaint) == (2, True)
    assert (tmp_path / "master-keys").exists()


def test_a_demo_does_not_empty_the_folder_of_one_that_runs(tmp_path: Path) -> None:
    folder = tmp_path / ".hookline" / "demo"
    (folder / "postgres").mkdir(parents=True)
    (folder / DISPOSABLE).touch()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        with pytest.raises(FolderInUse):
            Stack(folder, disposable=True).start()
        ran = hookline_here("demo", cwd=tmp_path)

        assert (ran.code, "another stack" in ran.err) == (1, True)
        assert (folder / "postgres").exists()


def test_what_a_demo_that_was_killed_left_is_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").touch()
    (tmp_path / "stack.json").touch()
    (tmp_path / "elsewhere").symlink_to(Path(__file__).parent)
    found: list[list[str]] = []
    stack = Stack(tmp_path, disposable=True)
    monkeypatch.setattr(stack, "_start_servers", lambda: found.append(sorted(path.name for path in tmp_path.iterdir())))
    monkeypatch.setattr(stack, "_prepare", lambda: (_ for _ in ()).throw(FolderInUse("that is all of it")))

    with pytest.raises(FolderInUse, match="that is all of it"):
        stack.start()

    assert found == [[DISPOSABLE, "lock"]]
    assert Path(__file__).exists()
