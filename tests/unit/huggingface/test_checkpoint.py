"""Model folders: their digest, damage of every kind, and export under the hub's names."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rlaifv.adapters.files import write_file, written_folder
from rlaifv.adapters.huggingface.checkpoint import checkpoint_at, model_digest
from rlaifv.adapters.huggingface.export import save_model
from rlaifv.adapters.huggingface.loading import load_model
from rlaifv.core.checkpoints import Checkpoint
from rlaifv.core.errors import Conflict, DataLoss, InvalidInput, NotFound, RlaifvError, StorageFull


def rewrite(folder: Path, change: dict[str, torch.Tensor | None]) -> Checkpoint:
    tensors = load_file(str(folder / "model.safetensors"))
    for name, value in change.items():
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})
    return checkpoint_at(folder)


def test_digest_changes_with_weights_and_with_processor_files(model_copy: Path, checkpoint: Checkpoint) -> None:
    assert model_digest(model_copy) == checkpoint.digest
    (model_copy / "README.md").write_text("words do not count")
    assert model_digest(model_copy) == checkpoint.digest
    template = model_copy / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    changed = model_digest(model_copy)
    assert changed != checkpoint.digest
    rewrite(model_copy, {"language_model.lm_head.weight": torch.zeros(400, 32)})
    assert model_digest(model_copy) not in (changed, checkpoint.digest)


HEAD = "language_model.lm_head.weight"


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({HEAD: None}, InvalidInput, "lm_head"),
        ({"language_model.extra.weight": torch.zeros(2)}, InvalidInput, "unexpected_keys"),
        ({HEAD: torch.zeros(7, 32)}, InvalidInput, "weights do not load|mismatched"),
        ({HEAD: torch.full((384, 32), float("nan"))}, DataLoss, "NaN"),
    ],
    ids=["missing", "unexpected", "shape", "nan"],
)
def test_bad_weights(
    model_copy: Path, change: dict[str, torch.Tensor | None], error: type[RlaifvError], words: str
) -> None:
    if error is DataLoss:
        shape = load_file(str(model_copy / "model.safetensors"))[HEAD].shape
        change = {HEAD: torch.full(shape, float("nan"))}
    with pytest.raises(error, match=words):
        load_model(rewrite(model_copy, change))


def test_truncated_weights(model_copy: Path) -> None:
    weights = model_copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(DataLoss, match=r"model\.safetensors"):
        load_model(checkpoint_at(model_copy))


def test_a_shard_that_the_index_names_is_missing(model_copy: Path) -> None:
    index = {"metadata": {}, "weight_map": {HEAD: "model-00002-of-00002.safetensors"}}
    (model_copy / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(DataLoss, match="00002"):
        load_model(checkpoint_at(model_copy))


def test_no_folder_no_model_other_digest_other_architecture(model_copy: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        load_model(Checkpoint(uri=str(tmp_path / "none"), digest=""))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="no Hugging Face model folder"):
        load_model(Checkpoint(uri=str(tmp_path / "empty"), digest=""))
    with pytest.raises(Conflict):
        load_model(Checkpoint(uri=str(model_copy), digest="0" * 64))
    config = json.loads((model_copy / "config.json").read_text())
    (model_copy / "config.json").write_text(json.dumps({**config, "model_type": "unheard_of"}))
    with pytest.raises(InvalidInput, match="unheard_of"):
        load_model(Checkpoint(uri=str(model_copy), digest=""))


def test_export_has_the_hubs_names_and_the_same_weights(checkpoint: Checkpoint, tmp_path: Path) -> None:
    loaded = load_model(checkpoint)
    save_model(loaded.model, loaded.folder, tmp_path / "out")
    names = load_file(str(tmp_path / "out" / "model.safetensors")).keys()
    assert "vision_tower.vision_model.embeddings.patch_embedding.weight" in names
    assert {"language_model.lm_head.weight", "multi_modal_projector.linear_1.weight"} <= set(names)
    again = load_model(checkpoint_at(tmp_path / "out"))
    before, after = loaded.model.state_dict(), again.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    save_model(again.model, again.folder, tmp_path / "twice")
    assert model_digest(tmp_path / "twice") == model_digest(tmp_path / "out")


def test_generation_defaults_of_the_folder_are_ignored(model_copy: Path) -> None:
    sampling = {"do_sample": True, "top_p": 0.6, "top_k": 3, "repetition_penalty": 1.3, "eos_token_id": [2, 5]}
    (model_copy / "generation_config.json").write_text(json.dumps(sampling))
    loaded = load_model(checkpoint_at(model_copy))
    kept = loaded.model.generation_config
    assert kept is not None
    assert (kept.top_k, kept.repetition_penalty) in ((None, None), (50, 1.0))
    assert not kept.do_sample
    assert set(loaded.end_tokens) == {2, 5}


def test_a_folder_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with written_folder(target) as folder:
        (folder / "a").write_text("old")

    def fail() -> None:
        with written_folder(target) as folder:
            (folder / "a").write_text("new")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageFull, match="model"):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (target / "a").read_text() == "old"
    with written_folder(target) as folder:
        (folder / "a").write_text("new")
    assert (target / "a").read_text() == "new"


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, b"old")
    path.with_name(".file.tmp").symlink_to("/dev/full")
    with pytest.raises(StorageFull):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
