"""Deleting below a prefix: all of it, and nothing else, whatever stands in the way."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from uuid import UUID

import pytest

from retention.connectors import file_store
from retention.connectors.declarations import FileStore
from retention.connectors.file_store import Found, count, delete, parts_of, require_store
from retention.errors import ConnectorError

TENANT = UUID("01a1f8b0-40cf-765f-99aa-7eac363e7fc8")
KEY = UUID("01a1f8b0-0000-7000-8000-000000000001")
OTHER = UUID("01a1f8b0-0000-7000-8000-000000000002")


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    found = FileStore(tmp_path / "store", ("t-{tenant}", "customers", "{key}"))
    for key in (KEY, OTHER):
        folder = found.root.joinpath(*parts_of(found, TENANT, key))
        (folder / "deep" / "er").mkdir(parents=True)
        for name in ("a", "b", "deep/c", "deep/er/d"):
            (folder / name).write_text("content")
    (found.root / "beside").write_text("stays")
    return found


def place(store: FileStore, key: UUID | None = KEY) -> Path:
    return store.root.joinpath(*parts_of(store, TENANT, key))


def test_a_subjects_files_go_and_the_neighbours_stay(store: FileStore) -> None:
    parts = parts_of(store, TENANT, KEY)
    assert parts == (f"t-{TENANT}", "customers", str(KEY))
    assert count(store, parts) == Found(4, 28, 0)
    done = delete(store, parts, most=100)
    assert (done.files, done.finished, done.problem) == (4, True, None)
    assert not place(store).exists()
    assert count(store, parts) == Found()
    assert count(store, parts_of(store, TENANT, OTHER)).files == 4
    assert (store.root / "beside").exists()
    assert delete(store, parts, most=100) == file_store.Portion(0, finished=True)


def test_without_a_subject_all_of_the_tenant_goes(store: FileStore) -> None:
    assert parts_of(store, TENANT, None) == (f"t-{TENANT}",)
    assert delete(store, parts_of(store, TENANT, None), most=100).files == 8
    assert os.listdir(store.root) == ["beside"]


@pytest.mark.parametrize("most", [1, 2, 3, 4])
def test_portions_come_to_the_whole(store: FileStore, most: int) -> None:
    parts, gone, calls = parts_of(store, TENANT, KEY), 0, 0
    while True:
        done = delete(store, parts, most=most)
        assert done.files <= most
        gone, calls = gone + done.files, calls + 1
        if done.finished:
            break
    assert gone == 4
    assert calls >= 4 // most
    assert not place(store).exists()


def test_told_to_stop_it_stops_and_says_so(store: FileStore) -> None:
    done = delete(store, parts_of(store, TENANT, KEY), most=100, stop=lambda: True)
    assert (done.files, done.finished) == (0, False)


def test_a_link_goes_and_what_it_leads_to_stays(store: FileStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("stays")
    (place(store) / "to-folder").symlink_to(outside)
    (place(store) / "to-file").symlink_to(outside / "precious")
    (place(store) / "to-nothing").symlink_to(tmp_path / "nowhere")
    assert count(store, parts_of(store, TENANT, KEY)).files == 7
    assert delete(store, parts_of(store, TENANT, KEY), most=100).files == 7
    assert (outside / "precious").read_text() == "stays"


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_link_in_the_way_is_not_followed(store: FileStore, tmp_path: Path, level: int) -> None:
    parts = parts_of(store, TENANT, KEY)
    at = store.root.joinpath(*parts[: level + 1])
    moved = tmp_path / "moved"
    at.rename(moved)
    at.symlink_to(moved)
    before = sorted(str(p) for p in moved.rglob("*"))
    with pytest.raises(ConnectorError, match="symbolic link"):
        count(store, parts)
    done = delete(store, parts, most=100)
    assert not done.finished
    assert done.problem
    assert str(KEY) not in done.problem
    assert sorted(str(p) for p in moved.rglob("*")) == before


def test_a_folder_that_becomes_a_link_while_we_work_is_not_followed(
    store: FileStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("stays")
    deep, real_stat = place(store) / "deep", os.stat

    def swap(name: str, **how: object) -> os.stat_result:
        found = real_stat(name, **how)  # type: ignore[arg-type]
        if name == "deep":
            deep.rename(tmp_path / "elsewhere")
            deep.symlink_to(outside)
        return found

    monkeypatch.setattr(os, "stat", swap)
    done = delete(store, parts_of(store, TENANT, KEY), most=100)
    assert not done.finished
    assert (outside / "precious").read_text() == "stays"


def test_a_hard_link_is_told_of(store: FileStore, tmp_path: Path) -> None:
    os.link(place(store) / "a", tmp_path / "second-name")
    assert count(store, parts_of(store, TENANT, KEY)).linked == 1


def test_a_root_that_is_empty_missing_or_a_link_is_no_store(
    store: FileStore, tmp_path: Path
) -> None:
    require_store(store)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(store.root)
    for name in ("empty", "missing", "link"):
        other = FileStore(tmp_path / name, store.prefix)
        with pytest.raises(ConnectorError, match=r"store mounted|No such file"):
            require_store(other)
        with pytest.raises(ConnectorError):
            delete(other, parts_of(other, TENANT, KEY), most=100)
    assert place(store).exists()


def test_names_that_no_text_can_say_go_too(store: FileStore) -> None:
    subprocess.run(["touch", os.fsencode(place(store)) + b"/\xff\n\x01 -rf"], check=True)
    assert delete(store, parts_of(store, TENANT, KEY), most=100).files == 5


def test_what_is_nested_without_measure_is_refused(store: FileStore) -> None:
    here = place(store)
    for _ in range(70):
        here /= "x"
        here.mkdir()
    (here / "file").write_text("")
    done = delete(store, parts_of(store, TENANT, KEY), most=1000)
    assert not done.finished
    assert done.problem == "folders are nested more than 64 deep"
