import gzip
import os
import stat

import pytest

from plottwist import files, registry
from plottwist.errors import PlotTwistError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    target = tmp_path / "result.json"
    files.write_text(target, "old")
    monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(PlotTwistError, match="No space left"):
        files.write_text(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_jsonl_round_trip_plain_and_gzipped(tmp_path):
    rows = [{"a": 1}, {"b": "ß"}]
    files.write_jsonl(tmp_path / "x.jsonl", rows)
    with gzip.open(tmp_path / "x.jsonl.gz", "wb") as stream:
        stream.write((tmp_path / "x.jsonl").read_bytes())
    assert list(files.read_jsonl(tmp_path / "x.jsonl")) == list(files.read_jsonl(tmp_path / "x.jsonl.gz")) == rows


@pytest.mark.parametrize(("line", "message"), [(b'{"a": 1', "not valid JSON"), (b'{"a": "\xff"}', "not UTF-8"), (b"[1]", "not an object")])
def test_a_bad_line_is_named_by_its_number(tmp_path, line, message):
    file = tmp_path / "x.jsonl"
    file.write_bytes(b'{"ok": 1}\n' * 16 + line + b"\n")
    with pytest.raises(PlotTwistError, match=f"line 17: .*{message}"):
        list(files.read_jsonl(file))


def test_a_truncated_gzip_is_an_error(tmp_path):
    file = tmp_path / "x.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"a": 1}\n' * 1000)[:-20])
    with pytest.raises(PlotTwistError, match="cannot read"):
        list(files.read_jsonl(file))


def test_every_shipped_file_matches_the_registry():
    for name in registry.entries():
        assert registry.path(name).is_file()
    assert registry.shipped_files() == sorted(registry.entries())


def test_a_changed_data_file_is_refused(repository):
    name = next(iter(registry.entries()))
    file = repository.root / "data" / name
    file.chmod(stat.S_IRUSR | stat.S_IWUSR)
    file.write_bytes(file.read_bytes() + b"\n")
    answer = repository.plottwist("data", "check")
    assert answer.returncode == 2
    assert answer.stderr.count("\n") == 1
    assert name in answer.stderr
    assert "sha256" in answer.stderr
