"""The landing takes each content once and never forgets what it took."""

import os

import pytest

from perennial.foundation.errors import BadData, Retryable
from perennial.foundation.settings import load_settings
from perennial.sources import landed, landing, load_source, superseded_duplicates, take
from perennial.sources.arrival import Arrival


@pytest.fixture
def settings(tmp_path):
    include = tmp_path / "include"
    (include / "sources").mkdir(parents=True)
    (include / "expectations").symlink_to(load_settings().include / "expectations")
    (include / "sources" / "shop.yaml").write_text(
        "source: shop\ncontract: products\npath: shop/**/*.csv\nformat: csv\ncolumns: {sku: sku}\n"
    )
    (tmp_path / "inbox" / "shop").mkdir(parents=True)
    return load_settings(home=tmp_path, include=include, now="2026-02-01T09:30:00+01:00")


@pytest.fixture
def source(settings):
    return load_source("shop", settings)


def put(settings, name, content):
    path = settings.inbox_dir / "shop" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_file_is_kept_as_it_was_and_taken_once(settings, source):
    put(settings, "a.csv", b"sku\n1\n")
    [entry] = take(source, settings)
    assert (entry.file, entry.version, entry.bytes) == ("shop/a.csv", 1, 6)
    assert (settings.landing_dir / entry.path).read_bytes() == b"sku\n1\n"
    assert take(source, settings) == []
    assert landed("shop", settings) == [entry]


def test_a_touched_file_with_the_same_content_is_not_taken(settings, source):
    path = put(settings, "a.csv", b"sku\n1\n")
    take(source, settings)
    os.utime(path, (1, 1))
    assert take(source, settings) == []


def test_changed_content_is_the_next_version_and_the_old_one_stays(settings, source):
    put(settings, "a.csv", b"sku\n1\n")
    [first] = take(source, settings)
    put(settings, "a.csv", b"sku\n1\n2\n")
    [second] = take(source, settings)
    assert second.version == 2
    assert (settings.landing_dir / first.path).read_bytes() == b"sku\n1\n"


def test_content_that_comes_back_is_a_version_of_its_own(settings, source):
    for content in (b"sku\n1\n", b"sku\n22\n", b"sku\n1\n"):
        put(settings, "a.csv", content)
        [entry] = take(source, settings)
    assert (entry.version, entry.duplicate_of) == (3, None)


def test_the_same_content_under_another_name_is_kept_once(settings, source):
    put(settings, "a.csv", b"sku\n1\n")
    put(settings, "b.csv", b"sku\n1\n")
    original, duplicate = take(source, settings)
    assert (duplicate.duplicate_of, duplicate.path) == ("shop/a.csv", original.path)
    assert len(list((settings.landing_dir / "shop").glob("*.csv"))) == 1


def test_equal_files_of_the_same_name_in_two_folders_do_not_lose_the_copy(settings, source):
    put(settings, "x/a.csv", b"sku\n1\n")
    put(settings, "y/a.csv", b"sku\n1\n")
    for entry in take(source, settings):
        assert (settings.landing_dir / entry.path).read_bytes() == b"sku\n1\n"


def test_a_duplicate_counts_for_itself_once_its_original_changed(settings, source):
    put(settings, "a.csv", b"sku\n1\n")
    put(settings, "b.csv", b"sku\n1\n")
    take(source, settings)
    assert superseded_duplicates(landed("shop", settings)) == set()
    put(settings, "a.csv", b"sku\n22\n")
    take(source, settings)
    assert superseded_duplicates(landed("shop", settings)) == {("shop/b.csv", 1)}


def test_a_torn_last_line_is_dropped_and_its_file_taken_again(settings, source):
    put(settings, "a.csv", b"sku\n1\n")
    put(settings, "b.csv", b"sku\n22\n")
    first, second = take(source, settings)
    manifest = settings.landing_dir / "shop" / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-20])
    assert landed("shop", settings) == [first]
    assert take(source, settings) == [second]
    assert landed("shop", settings) == [first, second]


def test_a_kill_before_the_manifest_takes_the_file_again(settings, source, monkeypatch):
    put(settings, "a.csv", b"sku\n1\n")
    with monkeypatch.context() as patch:
        patch.setattr(landing, "_append", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            take(source, settings)
    assert landed("shop", settings) == []
    [entry] = take(source, settings)
    assert (settings.landing_dir / entry.path).read_bytes() == b"sku\n1\n"


def test_a_damaged_manifest_is_named_with_its_line(settings, source):
    put(settings, "a.csv", b"sku\n1\n")
    take(source, settings)
    manifest = settings.landing_dir / "shop" / "manifest.jsonl"
    manifest.write_bytes(b"{broken\n" + manifest.read_bytes())
    with pytest.raises(BadData, match=r"manifest.jsonl: line 1 is damaged"):
        landed("shop", settings)


def test_a_full_disk_is_retryable_and_takes_nothing(settings, source, monkeypatch):
    put(settings, "a.csv", b"sku\n1\n")

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(landing.os, "fsync", full)
        with pytest.raises(Retryable, match=r"a.csv cannot be copied .* No space left"):
            take(source, settings)
    assert landed("shop", settings) == []
    assert len(take(source, settings)) == 1


@pytest.mark.slow
def test_three_thousand_files_are_taken_quickly(settings, source):
    for number in range(3000):
        put(settings, f"{number}.csv", b"sku\n%d\n" % number)
    assert len(take(source, settings)) == 3000
    assert take(source, settings) == []
    assert len(landed("shop", settings)) == 3000


def test_a_long_pull_is_noted_as_it_goes_so_that_a_kill_costs_little(settings, source, monkeypatch):
    noted = []

    def pages(*_):
        for number in range(120):
            noted.append(len(landed("shop", settings)))
            yield Arrival.of(put(settings, f"{number}.csv", f"sku\n{number}\n".encode()), f"shop/{number}.csv")

    monkeypatch.setattr(landing, "files_in_inbox", pages)
    assert len(take(source, settings)) == 120
    assert all(number - known <= 50 for number, known in enumerate(noted))
    assert len(landed("shop", settings)) == 120
