"""A released model, a user's images and a user's templates, from the example in docs/clip.md up to a verified report."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import open_clip
import pytest
import torch
import yaml
from open_clip import factory
from support import Finished
from true_format_files import write_image_folder

from harness.cli.main import main

ROOT = Path(__file__).parents[3]
CONFIGURATION = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
TEMPLATES = "a photo of a {}.\n# a remark\n\na drawing of the {}.\nmy {}\n"
Call = Callable[..., Finished]


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[str]:
    """A small model that open_clip knows for the time of a test."""
    (tmp_path / "tiny-released.json").write_text(json.dumps(CONFIGURATION))
    open_clip.add_model_config(tmp_path / "tiny-released.json")
    yield "tiny-released"
    factory._MODEL_CONFIG_PATHS.remove(tmp_path / "tiny-released.json")
    del factory._MODEL_CONFIGS["tiny-released"]


@pytest.fixture
def call(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """The command line in this process, in a folder with the example's files: images, weights, templates, spec."""
    data = tmp_path / "data"
    write_image_folder(data)
    (data / "weights").mkdir()
    torch.manual_seed(0)
    torch.save(open_clip.create_model(tiny).state_dict(), data / "weights" / "mine.pt")
    (data / "templates.txt").write_text(TEMPLATES)
    (tmp_path / "mine").mkdir()
    shutil.copy(ROOT / "experiments" / "clip" / "claims.yaml", tmp_path / "mine")
    spec = yaml.safe_load((ROOT / "experiments" / "clip" / "clip-prompts.yaml").read_text())
    example = re.search(r"```yaml\n(  mine:.*?)```", (ROOT / "docs" / "clip.md").read_text(), re.DOTALL)
    assert example
    mine = yaml.safe_load(example[1])["mine"]
    mine["factors"]["model"]["mine"]["name"] = tiny
    spec["profiles"]["mine"] = mine
    (tmp_path / "mine" / "clip-prompts.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HARNESS_STORE", raising=False)

    def command(*arguments: str) -> Finished:
        monkeypatch.setattr(sys, "argv", ["harness", *arguments])
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
            main()
        return Finished(int(ended.value.code or 0), out.getvalue(), err.getvalue())

    return command


def run(call: Call) -> Finished:
    return call("run", "mine/clip-prompts.yaml", "--profile", "mine", "--executor", "inline", "--set", "data_root=data")


def test_a_checkpoint_and_a_folder_of_images_go_up_to_a_verified_report(call: Call, tmp_path: Path) -> None:
    found = run(call)
    assert found.status == 0, found
    reported = call("report", "mine/clip-prompts.yaml", "--profile", "mine")
    assert reported.status == 0, reported
    claims = {claim["claim"]: claim for claim in json.loads((tmp_path / "site" / "claims.json").read_text())}
    assert claims["clip.prompts.template"]["fidelity"] == "reduced"
    assert claims["clip.prompts.template"]["ci_low"] is not None, "judged over items, though there is one replicate"
    assert claims["clip.prompts.descriptions"]["verdict"] == "not run"
    verified = call("verify")
    assert verified.status == 0, verified


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("weights/mine.pt", None, "checkpoint file data/weights/mine.pt of the model tiny-released is missing"),
        ("weights/mine.pt", b"no weights", "is no checkpoint of open_clip"),
        ("templates.txt", None, "file of templates data/templates.txt cannot be read"),
        ("templates.txt", b"a photo of a {}.\na photo\n", "templates.txt, line 2: the template 'a photo' has no placeholder"),
        ("templates.txt", "a photo of a {}.\nein Bild von {} f\u00fcr dich".encode("latin-1"), "line 2: is not in UTF-8"),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong_is_one_sentence_before_anything_starts(
    call: Call, tmp_path: Path, file: str, content: bytes | None, said: str
) -> None:
    path = tmp_path / "data" / file
    path.unlink() if content is None else path.write_bytes(content)
    found = run(call)
    assert found.status == 2 and said in found.err and found.err.count("\n") == 1, found
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("model", "prompts", "said"),
    [
        ({"name": "ViT-B-33"}, {}, "has no model 'ViT-B-33'; did you mean"),
        ({"name": "ViT-B-32", "pretrained": "openai"}, {}, "set 'name' to ViT-B-32-quickgelu"),
        ({}, {"templates": ["a photo"]}, "the template 'a photo' has no placeholder"),
        ({}, {"templates": "held-out"}, "belong to captions that a small encoder is trained on"),
    ],
)
def test_a_model_or_a_prompt_that_cannot_be_is_one_sentence(
    call: Call, tmp_path: Path, model: dict[str, str], prompts: dict[str, object], said: str
) -> None:
    path = tmp_path / "mine" / "clip-prompts.yaml"
    spec = yaml.safe_load(path.read_text())
    factors = spec["profiles"]["mine"]["factors"]
    factors["model"]["mine"] |= model
    factors["prompts"]["ensemble"] |= prompts
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    found = run(call)
    assert found.status == 2 and said in found.err and found.err.count("\n") == 1, found
    assert not (tmp_path / "results").exists()


def test_a_class_without_a_name_is_one_sentence(call: Call, tmp_path: Path) -> None:
    for part in ("train", "test"):
        first = min(path for path in (tmp_path / "data" / part).iterdir() if path.is_dir())
        first.rename(first.with_name("_"))
    found = run(call)
    assert found.status == 2 and "the name of class" in found.err and found.err.count("\n") == 1, found
