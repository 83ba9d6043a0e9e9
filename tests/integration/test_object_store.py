"""Files in object storage are taken as those of the inbox are: from a real S3 server, over HTTP."""

import os
import re
import socket
import subprocess
import sys
import time
from contextlib import suppress

import boto3
import pytest
from intake import GOOD, HEADER, SHOP, Shop, line

from perennial.foundation.errors import BadConfig, Retryable
from perennial.sources import landed, load_source, take

AT_URL = ("path: shop/*", "url: s3://exports/shop/*.csv*\noptions: {endpoint_url: ENDPOINT}")


@pytest.fixture(scope="module")
def endpoint():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        for _ in range(100):
            with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
        server.terminate()


@pytest.fixture
def bucket(endpoint, monkeypatch):
    for name, value in {"ACCESS_KEY_ID": "us", "SECRET_ACCESS_KEY": "secret", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    bucket = boto3.resource("s3", endpoint_url=endpoint).create_bucket(Bucket="exports")
    yield bucket
    bucket.objects.all().delete()


@pytest.fixture
def shop(bucket, endpoint, tmp_path):
    shop = Shop(tmp_path)
    shop.source(SHOP, place=(AT_URL[0], AT_URL[1].replace("ENDPOINT", endpoint)))
    return shop


def put(bucket, name, content):
    bucket.put_object(Key=f"shop/{name}", Body=content)


def test_what_lies_in_a_bucket_is_loaded_once_and_again_when_it_changes(shop, bucket):
    put(bucket, "b.csv", GOOD)
    put(bucket, "a.csv", HEADER + line("2") + line("3"))
    put(bucket, ".hidden.csv", GOOD)
    put(bucket, "other.txt", "no export")
    assert shop.ingest()["shop"]["accepted"] == 3
    assert [entry.file for entry in landed("shop", shop.settings)] == ["exports/shop/a.csv", "exports/shop/b.csv"]
    assert shop.ingest()["shop"]["files"] == 0

    put(bucket, "b.csv", GOOD.replace("Tee", "Cap"))  # as long as it was, and maybe in the same second
    assert shop.ingest()["shop"]["accepted"] == 1
    assert shop.rows("select _version, product_name from raw.order_lines where _file like '%b.csv' order by 1") == [
        (1, "Tee"),
        (2, "Cap"),
    ]
    assert take(load_source("shop", shop.settings), shop.settings) == []


def test_a_large_object_comes_whole(shop, bucket):
    content = (HEADER + "".join(line(str(number), name="x" * 200) for number in range(60_000))).encode()
    put(bucket, "large.csv", content)
    [entry] = take(load_source("shop", shop.settings), shop.settings)
    assert entry.bytes == len(content) > 10 << 20
    assert (shop.settings.landing_dir / entry.path).read_bytes() == content


def test_what_is_gone_stays_taken(shop, bucket):
    put(bucket, "a.csv", GOOD)
    shop.ingest()
    bucket.objects.all().delete()
    assert shop.ingest()["shop"]["files"] == 0
    assert shop.rows("select count(*) from raw.order_lines") == [(1,)]


def test_a_place_that_fails_half_way_keeps_what_was_taken(shop, bucket, monkeypatch):
    for name in ("a.csv", "b.csv", "c.csv"):
        put(bucket, name, HEADER + line(name))
    source = load_source("shop", shop.settings)
    from perennial.sources import object_store

    opened = object_store._open

    def breaks_off(files, path):
        if path.endswith("b.csv"):
            raise ConnectionResetError("peer")
        return opened(files, path)

    monkeypatch.setattr(object_store, "_open", breaks_off)
    with pytest.raises(Retryable, match=r"shop: exports/shop/b.csv cannot be copied .* peer"):
        take(source, shop.settings)
    assert [entry.file for entry in landed("shop", shop.settings)] == ["exports/shop/a.csv"]
    monkeypatch.undo()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "us")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert [entry.file for entry in take(source, shop.settings)] == ["exports/shop/b.csv", "exports/shop/c.csv"]


@pytest.mark.parametrize(
    ("place", "error", "words"),
    [
        ("url: s3://no-such-bucket/*.csv\noptions: {endpoint_url: ENDPOINT}", None, None),
        ("url: s3://exports/*.csv\noptions: {endpoint_url: 'http://127.0.0.1:9'}", Retryable, "cannot be listed"),
        ("url: gopher://exports/*.csv", BadConfig, "field url: 'gopher://exports/*.csv' cannot be used"),
        ("url: gs://exports/*.csv", BadConfig, "gcsfs"),
        ("url: s3://exports/*.csv\noptions: {colour: red}", BadConfig, "field url"),
        ("url: s3://me:secret@exports/*.csv", BadConfig, "without user and password"),
        ("url: exports/*.csv", BadConfig, "is no URL"),
        ("url: s3://exports/*.csv\noptions: {secret_key: x}", BadConfig, "field options.secret_key"),
        ("url: s3://exports/*.csv\npath: shop/*", BadConfig, "only by one"),
        ("format_of: nothing", BadConfig, "format_of"),
    ],
)
def test_a_place_that_cannot_be_reached_says_why(shop, endpoint, place, error, words):
    shop.source(SHOP, place=(AT_URL[0], place.replace("ENDPOINT", endpoint)))
    if error is None:
        assert take(load_source("shop", shop.settings), shop.settings) == []
        return
    with pytest.raises(error, match=re.escape(words)):
        take(load_source("shop", shop.settings), shop.settings)


def test_a_local_url_is_read_the_same_way(shop, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.csv").write_text(GOOD)
    shop.source(SHOP, place=(AT_URL[0], f"url: file://{tmp_path}/elsewhere/*.csv"))
    assert shop.ingest()["shop"]["accepted"] == 1
    assert shop.ingest()["shop"]["files"] == 0
    os.utime(tmp_path / "elsewhere" / "a.csv", (1, 1))
    assert shop.ingest()["shop"]["files"] == 0
