"""Bytes to text, or a refusal that says where."""

import gzip

import pyarrow as pa
import pytest

from perennial.foundation.errors import BadData
from perennial.sources.text import decompress, plain_text


def as_text(tmp_path, content, *encodings):
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    return plain_text(path, "file.csv", encodings or ("utf-8",), tmp_path / "target").read_bytes().decode()


def test_utf8_is_used_as_it_is(tmp_path):
    path = tmp_path / "file.csv"
    path.write_text("straße", encoding="utf-8")
    assert plain_text(path, "file.csv", ("utf-8",), tmp_path / "target") == path


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252", "gb18030"])
def test_other_encodings_are_rewritten(tmp_path, encoding):
    assert as_text(tmp_path, "straße\n".encode(encoding), "utf-8", encoding) == "straße\n"


def test_a_mark_outranks_the_list(tmp_path):
    assert as_text(tmp_path, "käse".encode("utf-16"), "cp1252") == "käse"


def test_a_character_cut_by_the_block_size_is_whole(tmp_path):
    content = "x" * ((1 << 20) - 1) + "ß" + "y" * 10
    assert as_text(tmp_path, content.encode(), "utf-8") == content


def test_the_first_bad_byte_is_named(tmp_path):
    with pytest.raises(BadData, match=r"file.csv: .*utf-8: byte 5 in line 2 is 0xff"):
        as_text(tmp_path, b"ab\ncd\xff\n")


def test_a_bad_byte_in_a_later_block_is_named(tmp_path):
    content = b"x\n" * (1 << 19) + b"\xe4\n"
    with pytest.raises(BadData, match=rf"byte {1 << 20} in line {(1 << 19) + 1} is 0xe4"):
        as_text(tmp_path, content)


def test_binary_data_is_no_text_in_any_encoding(tmp_path):
    with pytest.raises(BadData, match="line 1: this is binary data"):
        as_text(tmp_path, b"\x7fELF\x00\x01", "cp1252")


@pytest.mark.parametrize(("suffix", "pack"), [("gz", gzip.compress), ("zst", None)])
def test_archives(tmp_path, suffix, pack):
    content = bytes(range(256)) * 1000
    packed = pack(content) if pack else pa.compress(content, codec="zstd", asbytes=True)
    path = tmp_path / f"file.csv.{suffix}"
    path.write_bytes(packed)
    assert decompress(path, path.name, tmp_path / "plain").read_bytes() == content
    path.write_bytes(packed[:-10])
    with pytest.raises(BadData, match=rf"file.csv.{suffix}: the .{suffix} archive is truncated or damaged"):
        decompress(path, path.name, tmp_path / "plain")
