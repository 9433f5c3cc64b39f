from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from punie_trace.errors import ModelError
from punie_trace.servers.config import server_config
from punie_trace.servers.kinds import MlxLmConfig, UrlConfig
from punie_trace.servers.models import check_models, is_hub_id, local_folder

Make = Callable[..., Path]


def test_a_model_that_is_there_needs_no_note(model_folder: Make) -> None:
    target, draft = model_folder("t"), model_folder("d")
    assert check_models(MlxLmConfig(model_path=str(target), draft_model=str(draft))) == ()
    assert local_folder(str(target)) == target.resolve()


@pytest.mark.parametrize("field", ["model_path", "draft_model"])
def test_a_folder_that_is_not_there(field: str, model_folder: Make, tmp_path: Path) -> None:
    fields = {"model_path": str(model_folder("t")), field: str(tmp_path / "nowhere")}
    with pytest.raises(ModelError, match=f"{field} .*nowhere' does not exist; give the folder"):
        check_models(server_config(fields))


def test_a_file_in_place_of_a_folder(model_folder: Make) -> None:
    file = model_folder("t") / "config.json"
    with pytest.raises(ModelError, match="is a file"):
        check_models(MlxLmConfig(model_path=str(file)))


def test_no_config(model_folder: Make) -> None:
    folder = model_folder("t")
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        check_models(MlxLmConfig(model_path=str(folder)))


@pytest.mark.parametrize(("other", "words"), [(None, "download or convert"), ("pytorch.bin", "mlx_lm convert")])
def test_no_weights(other: str | None, words: str, model_folder: Make) -> None:
    folder = model_folder("t")
    (folder / "model.safetensors").unlink()
    if other is not None:
        (folder / other).touch()
    with pytest.raises(ModelError, match=rf"holds no weights \(model\*\.safetensors\); .*{words}"):
        check_models(MlxLmConfig(model_path=str(folder)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (b"", "is not whole"),
        (b"\xff" * 40, "is not whole"),
        (b"\x02\0\0\0\0\0\0\0[]", "is not whole"),
        (b"\x04\0\0\0\0\0\0\0{{{{", "is not whole"),
    ],
)
def test_weights_that_are_none(content: bytes, words: str, model_folder: Make) -> None:
    folder = model_folder("t", weights=content)
    with pytest.raises(ModelError, match=words):
        check_models(MlxLmConfig(model_path=str(folder)))


def test_a_download_that_stopped_half_way(model_folder: Make) -> None:
    folder = model_folder("t")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"model\.safetensors is not whole"):
        check_models(MlxLmConfig(model_path=str(folder)))


def test_an_adapter_without_its_parts(model_folder: Make, tmp_path: Path) -> None:
    config = MlxLmConfig(model_path=str(model_folder("t")), adapter_path=str(tmp_path))
    with pytest.raises(ModelError, match=r"no adapter_config\.json and no adapters\.safetensors"):
        check_models(config)


def test_drafts_are_compared_by_ids_not_sizes(model_folder: Make) -> None:
    target = model_folder("t", vocab={"a": 0, "b": 1, "c": 2})
    draft = model_folder("d", vocab={"a": 0, "c": 1, "b": 2})
    config = MlxLmConfig(model_path=str(target), draft_model=str(draft))
    with pytest.raises(ModelError, match=r"2 ids differ \(1: 'b' against 'c', 2: 'c' against 'b'"):
        check_models(config)
    assert check_models(config.model_copy(update={"allow_tokenizer_mismatch": True})) == ()


def test_an_added_token_that_only_the_target_has(model_folder: Make) -> None:
    target = model_folder("t", added={"<think>": 5})
    config = MlxLmConfig(model_path=str(target), draft_model=str(model_folder("d")))
    with pytest.raises(ModelError, match=r"1 ids differ \(5: '<think>' against None"):
        check_models(config)


def test_tokenizers_that_cannot_be_compared_are_a_note(model_folder: Make) -> None:
    draft = model_folder("d")
    (draft / "tokenizer.json").write_text("not json")
    (note,) = check_models(MlxLmConfig(model_path=str(model_folder("t")), draft_model=str(draft)))
    assert str(draft) in note
    assert "not known" in note


def test_hub_ids_are_left_to_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (note,) = check_models(MlxLmConfig(model_path="some-org/no-such-model"))
    assert "will try to download" in note
    (tmp_path / "models").mkdir()
    assert not is_hub_id("models/mine")  # the folder is here, so a path is meant
    with pytest.raises(ModelError, match="does not exist"):
        check_models(MlxLmConfig(model_path="models/mine"))


def test_other_kinds_bring_their_own_model() -> None:
    assert check_models(UrlConfig(url="http://x")) == ()
