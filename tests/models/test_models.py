"""The shipped models: expanded once, atomically, into a folder named after their digest."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from punie_trace import models
from punie_trace.errors import ModelError
from punie_trace.models.weights_digest import weights_digest


@pytest.fixture
def packaged(tmp_path, monkeypatch):
    monkeypatch.setenv(models.CACHE_VARIABLE, str(tmp_path / "cache"))
    folder = tmp_path / "target"
    folder.mkdir()
    save_file({"w": np.arange(4, dtype=np.float16)}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"torch_dtype": "float16"}))
    (folder / "tokenizer.json").write_text("{}")
    return folder


def test_linux_gets_single_precision(packaged):
    out = models.ready(packaged, platform="linux")
    assert load_file(out / "model.safetensors")["w"].dtype == np.float32
    assert json.loads((out / "config.json").read_text())["torch_dtype"] == "float32"
    assert (out / "tokenizer.json").exists()
    assert models.ready(packaged, platform="linux") == out


def test_a_mac_gets_the_package(packaged):
    assert models.ready(packaged, platform="darwin") == packaged


def test_other_weights_get_another_folder(packaged):
    before = models.ready(packaged, platform="linux")
    save_file({"w": np.ones(4, dtype=np.float16)}, packaged / "model.safetensors")
    assert models.ready(packaged, platform="linux") != before


def test_many_at_once_agree_and_leave_nothing_behind(packaged):
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: models.ready(packaged, platform="linux"), range(8)))
    assert len(found) == 1
    folder = found.pop()
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_absent_and_damaged_weights_are_named(packaged, tmp_path):
    with pytest.raises(ModelError, match="no packaged model"):
        models.ready(tmp_path / "nowhere")
    (packaged / "model.safetensors").write_bytes(b"12345678 not weights")
    with pytest.raises(ModelError, match="damaged"):
        models.ready(packaged, platform="linux")


def test_a_cache_that_cannot_be_written_is_named(packaged, tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv(models.CACHE_VARIABLE, str(file))
    with pytest.raises(ModelError, match=models.CACHE_VARIABLE):
        models.ready(packaged, platform="linux")


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv(models.CACHE_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert models.cache_folder() == tmp_path / "punie-trace"


def test_the_target_of_the_package_is_known_by_its_weights_as_packaged_and_as_served(monkeypatch, tmp_path):
    monkeypatch.setenv(models.CACHE_VARIABLE, str(tmp_path))
    packaged, served = Path(models.__file__).parent / "target", models.shipped_model()[0]
    for folder in (packaged, served):
        digest = weights_digest(folder.glob("*.safetensors"))
        assert digest is not None
        assert models.is_shipped("m", digest.hex)
    assert not models.is_shipped("m", "0" * 64)
