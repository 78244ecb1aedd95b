"""Models of open_clip: found, checked, and with the very vectors that open_clip itself gives."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import open_clip
import pytest
import torch
from huggingface_hub import constants
from open_clip import factory, pretrained
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from experiments.clip.encoding import DualEncoder
from experiments.clip.model_settings import OpenClipSettings
from experiments.clip.open_clip_model import OpenClipEncoder, load_open_clip, require_open_clip
from experiments.data import DecodedPart, Part
from harness.errors import UserError

CPU = torch.device("cpu")
VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
TINY: dict[str, Any] = {"embed_dim": 32, "vision_cfg": VISION, "text_cfg": TEXT}
MODELS = {
    "tiny-check": TINY,
    "tiny-check-quickgelu": {**TINY, "quick_gelu": True},
    "tiny-wide": {**TINY, "vision_cfg": {**VISION, "width": 48}},
    "tiny-large": {**TINY, "vision_cfg": {**VISION, "image_size": 64}},
    "tiny-deep": {**TINY, "text_cfg": {**TEXT, "layers": 2}},
    "tiny-hub": {**TINY, "text_cfg": {"hf_model_name": "no-owner/no-model", "hf_tokenizer_name": "no-owner/no-model"}},
}
LONG = " ".join(["a photo of a very small thing"] * 20)
TEXTS = ["a photo of a dog.", "naïve Café, 42%", "", LONG]


@pytest.fixture(scope="module", autouse=True)
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make the small models known to open_clip for as long as this module runs."""
    folder = tmp_path_factory.mktemp("configurations")
    for name, configuration in MODELS.items():
        (folder / f"{name}.json").write_text(json.dumps(configuration))
    open_clip.add_model_config(folder)
    yield
    factory._MODEL_CONFIG_PATHS.remove(folder)
    for name in MODELS:
        del factory._MODEL_CONFIGS[name]


@pytest.fixture(autouse=True)
def connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Give every test caches of its own, and no network: nothing may even try to reach it."""
    tried: list[object] = []

    def refused(*given: object, **more: object) -> None:
        tried.append(given)
        raise OSError("no network in tests")

    for function in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, function, refused)
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    # What the hub's library has fetched once in a process, it would not ask for again.
    monkeypatch.setattr("huggingface_hub.utils._detect_agent._registry", None, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.AGENT_HARNESSES_PATH", str(tmp_path / "none"), raising=False)
    yield tried
    assert not tried


def state(seed: int = 0, name: str = "tiny-check") -> dict[str, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return open_clip.create_model(name).state_dict()


@pytest.fixture(scope="module")
def weights(models: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    torch.save(state(), path)
    return path


def settings(path: Path | str, name: str = "tiny-check", **more: Any) -> OpenClipSettings:
    return OpenClipSettings(name=name, pretrained=str(path), **more)


def arrays(count: int = 7) -> Part:
    images = numpy.random.default_rng(0).integers(0, 256, (count, 3, 40, 24), dtype=numpy.uint8)
    return Part(images, {"label": numpy.zeros(count, numpy.int64)})


def theirs(name: str, checkpoint: str, part: Part, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Return what open_clip gives by its own functions."""
    model, _, preprocess = open_clip.create_model_and_transforms(name, checkpoint)
    model.eval()
    with torch.no_grad():
        images = torch.stack([preprocess(part.image(index)) for index in range(len(part))])
        tokens = open_clip.get_tokenizer(name)(texts)
        return model.encode_image(images, normalize=True), model.encode_text(tokens, normalize=True)


def close(ours: Tensor, other: Tensor, within: float = 1e-6) -> bool:
    return ours.shape == other.shape and ours.dtype == torch.float32 and float((ours - other).abs().max()) < within


# Vectors.


@pytest.mark.parametrize("batch_size", [3, 64])
def test_vectors_are_open_clips_own(weights: Path, batch_size: int) -> None:
    encoder: DualEncoder = load_open_clip(settings(weights, batch_size=batch_size), CPU)
    images, texts = theirs("tiny-check", str(weights), arrays(), TEXTS)
    assert close(encoder.encode_images(arrays()), images) and close(encoder.encode_texts(TEXTS), texts)
    assert float((images[0] - images[1]).abs().max()) > 1e-3 and float((texts[0] - texts[1]).abs().max()) > 1e-3


def test_images_of_unequal_sizes_and_grey_ones(weights: Path, tmp_path: Path) -> None:
    random = numpy.random.default_rng(1)
    paths = []
    for index, size in enumerate([(20, 50, 3), (64, 64), (33, 31, 3), (90, 40, 4)]):
        paths.append(str(tmp_path / f"{index}.png"))
        Image.fromarray(random.integers(0, 256, size, dtype=numpy.uint8)).save(paths[-1])
    part = DecodedPart("drawn", tuple(paths), {"label": numpy.zeros(4, numpy.int64)})
    encoder = load_open_clip(settings(weights, batch_size=2), CPU)
    assert close(encoder.encode_images(part), theirs("tiny-check", str(weights), part, ["a"])[0])
    Path(paths[3]).write_text("no image")
    with pytest.raises(UserError, match="cannot be decoded"):
        encoder.encode_images(part)


def test_more_texts_than_a_batch_and_none_at_all(weights: Path) -> None:
    encoder = load_open_clip(settings(weights), CPU)
    texts = [f"a photo of the number {number}" for number in range(300)]
    assert close(encoder.encode_texts(texts), theirs("tiny-check", str(weights), arrays(1), texts)[1])
    assert encoder.encode_texts([]).shape == encoder.encode_images(arrays(0)).shape == (0, 32)


def test_bfloat16_gives_unit_vectors_of_float32(weights: Path) -> None:
    plain, lower = (
        load_open_clip(settings(weights, precision=precision), CPU) for precision in ("float32", "bfloat16")
    )
    for one, other in (
        (plain.encode_images(arrays()), lower.encode_images(arrays())),
        (plain.encode_texts(TEXTS), lower.encode_texts(TEXTS)),
    ):
        assert close(other, one, 0.03) and not close(other, one, 1e-5)
        assert close(other.norm(dim=1), torch.ones(len(other)))


def test_vectors_can_be_learnt_from(weights: Path) -> None:
    """They are plain tensors, not those of inference mode, which a probe could not use."""
    vectors = load_open_clip(settings(weights), CPU).encode_images(arrays())
    assert not vectors.requires_grad
    probe = torch.nn.Linear(32, 2)
    probe(vectors).sum().backward()
    assert probe.weight.grad is not None


def test_scale_and_parameters(tmp_path: Path) -> None:
    changed = state()
    changed["logit_scale"] = torch.tensor([3.0])  # kept as a vector of one by some
    torch.save(changed, tmp_path / "a.pt")
    encoder = load_open_clip(settings(tmp_path / "a.pt"), CPU)
    assert encoder.scale == pytest.approx(20.0855, abs=1e-4)
    assert encoder.parameters == sum(value.numel() for value in changed.values() if value.is_floating_point())


def test_a_resnet_and_a_text_tower_of_its_own_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resnet = {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}
    for name, configuration in (
        ("tiny-resnet", {**TINY, "vision_cfg": resnet}),
        ("tiny-custom", {**TINY, "custom_text": True}),
    ):
        monkeypatch.setitem(factory._MODEL_CONFIGS, name, configuration)
        torch.save(state(0, name), tmp_path / "a.pt")
        encoder = load_open_clip(settings(tmp_path / "a.pt", name), CPU)
        images, texts = theirs(name, str(tmp_path / "a.pt"), arrays(), TEXTS)
        assert close(encoder.encode_images(arrays()), images) and close(encoder.encode_texts(TEXTS), texts)


# Files.


def test_other_kinds_of_files_hold_the_same_model(weights: Path, tmp_path: Path) -> None:
    save_file({name: value.contiguous() for name, value in state().items()}, tmp_path / "a.safetensors")
    # As open_clip's training writes them, on several machines.
    wrapped = {f"module.{name}": value for name, value in state().items()}
    torch.save({"epoch": 3, "name": "run", "state_dict": wrapped, "optimizer": {"state": {}}}, tmp_path / "epoch_3.pt")
    torch.save(state(), tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    expected = load_open_clip(settings(weights), CPU).encode_texts(TEXTS)
    for name in ("a.safetensors", "epoch_3.pt", "old.bin"):
        assert torch.equal(load_open_clip(settings(tmp_path / name), CPU).encode_texts(TEXTS), expected)


def test_relative_paths_are_below_the_root_or_here(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    expected = load_open_clip(settings(weights), CPU).key
    assert load_open_clip(settings("tiny.pt"), CPU, root=str(weights.parent)).key == expected
    with pytest.raises(UserError, match="missing"):
        load_open_clip(settings("tiny.pt"), CPU)
    (tmp_path / "here" / "tiny.pt").symlink_to(weights)
    assert load_open_clip(settings("tiny.pt"), CPU).key == expected
    assert load_open_clip(settings("./tiny.pt"), CPU).key == expected
    with pytest.raises(UserError, match="missing"):
        load_open_clip(settings("tiny.pt"), CPU, root=str(tmp_path))


def test_the_key_names_what_decides_the_vectors(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def key(path: Path = weights, name: str = "tiny-check", **more: Any) -> str:
        return load_open_clip(settings(path, name, **more), CPU).key

    (tmp_path / "copy.pth").write_bytes(weights.read_bytes())
    torch.save(state(1), tmp_path / "other.pt")
    first = key()
    assert len(first) == 64 and key() == key(tmp_path / "copy.pth") == key(batch_size=2) == first
    others = [key(tmp_path / "other.pt"), key(precision="bfloat16"), key(name="tiny-check-quickgelu")]
    monkeypatch.setitem(
        factory._MODEL_CONFIGS,
        "tiny-check",
        {**TINY, "text_cfg": {**TEXT, "context_length": 77, "no_causal_mask": True}},
    )
    others.append(key())
    monkeypatch.undo()
    monkeypatch.setattr(open_clip, "__version__", "9.9")
    others.append(key())
    assert len({first, *others}) == 6


def test_nothing_else_is_touched(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without handlers, as in a program: open_clip would set up the log.
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(logging.root.manager, "disable", logging.NOTSET)
    before = torch.get_rng_state()
    load_open_clip(settings(weights), CPU)
    assert torch.equal(torch.get_rng_state(), before)
    assert logging.root.handlers == [] and logging.root.manager.disable == logging.NOTSET
    assert not constants.HF_HUB_OFFLINE


# Tags.


@pytest.fixture
def tag(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Add a row to open_clip's table of released weights."""

    def add(name: str = "tiny-check", tag: str = "made", **row: Any) -> dict[str, Any]:
        entry = pretrained._pcfg(mean=(0.1, 0.2, 0.3), std=(0.9, 0.8, 0.7), interpolation="bilinear", **row)
        monkeypatch.setitem(pretrained._PRETRAINED, name, {tag: entry})
        return entry

    return add


def put_in_hub(root: Path, repository: str, file: str, content: bytes) -> Path:
    """Write a file as the hub's library keeps what it has fetched."""
    folder = root / f"models--{repository.replace('/', '--')}"
    path = folder / "snapshots" / "0123" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text("0123")
    return path


@pytest.mark.parametrize(
    ("address", "file"),
    [
        ("owner/model/", "open_clip_pytorch_model.bin"),
        ("owner/model/", "open_clip_model.safetensors"),
        ("owner/model/weights.bin", "weights.bin"),
        ("owner/model/weights.bin", "weights.safetensors"),
    ],
)
def test_a_tag_is_read_from_the_hubs_cache(
    address: str, file: str, tmp_path: Path, tag: Any, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag(hf_hub=address)
    if file.endswith(".safetensors"):
        save_file(state(), tmp_path / "made.safetensors")
        # The pickles beside it are another's: open_clip prefers the safetensors.
        torch.save(state(5), tmp_path / "other.bin")
        other = "weights.bin" if address.endswith(".bin") else "open_clip_pytorch_model.bin"
        put_in_hub(tmp_path / "hub", "owner/model", other, (tmp_path / "other.bin").read_bytes())
    else:
        # That the library has asked for the safetensors in vain is kept too.
        absent = tmp_path / "hub" / "models--owner--model" / ".no_exist" / "0123"
        absent.mkdir(parents=True)
        (absent / ("weights.safetensors" if file == "weights.bin" else "open_clip_model.safetensors")).touch()
    source = tmp_path / "made.safetensors" if file.endswith(".safetensors") else weights
    put_in_hub(tmp_path / "hub", "owner/model", file, source.read_bytes())
    encoder = load_open_clip(settings("made"), CPU)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    images, texts = theirs("tiny-check", "made", arrays(), TEXTS)
    assert close(encoder.encode_images(arrays()), images) and close(encoder.encode_texts(TEXTS), texts)
    # The tag's own preprocessing decides, and is part of the key.
    plain = load_open_clip(settings(weights), CPU)
    assert not close(plain.encode_images(arrays()), images, 1e-3) and plain.key != encoder.key


def test_a_tag_is_read_from_open_clips_own_cache(tmp_path: Path, tag: Any, weights: Path) -> None:
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    tag(url=f"https://github.com/mlfoundations/open_clip/releases/tiny-{digest[:8]}.pt", hf_hub="owner/model/")
    with pytest.raises(UserError, match="not on this machine"):
        load_open_clip(settings("made"), CPU)
    path = tmp_path / "home" / ".cache" / "clip" / f"tiny-{digest[:8]}.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(weights.read_bytes())
    encoder = load_open_clip(settings("made"), CPU)
    assert close(encoder.encode_texts(TEXTS), theirs("tiny-check", str(weights), arrays(1), TEXTS)[1])
    torch.save(state(1), path)
    with pytest.raises(UserError, match=f"{path} is damaged .its SHA-256 is not {digest[:8]}"):
        load_open_clip(settings("made"), CPU)


def test_a_tag_is_fetched_only_with_download(
    tag: Any, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = tag(hf_hub="owner/model/")
    asked = []
    monkeypatch.setattr(open_clip, "download_pretrained", lambda row: asked.append(row) or str(weights))
    for check in (
        lambda: require_open_clip(settings("made"), None, False),
        lambda: load_open_clip(settings("made"), CPU),
    ):
        with pytest.raises(UserError, match="not on this machine .* --set download=true fetches them"):
            check()
    require_open_clip(settings("made"), None, True)
    assert not asked
    assert load_open_clip(settings("made"), CPU, download=True).parameters > 0
    assert asked == [entry]
    put_in_hub(tmp_path / "hub", "owner/model", "open_clip_pytorch_model.bin", weights.read_bytes())
    load_open_clip(settings("made"), CPU, download=True)
    assert len(asked) == 1


def test_a_download_that_fails_is_one_sentence(tag: Any, connections: list[object]) -> None:
    tag(url="https://example.org/weights.pt")
    message = refusal(lambda: load_open_clip(settings("made"), CPU, download=True))
    assert "could not be fetched" in message and "no network in tests" in message
    assert connections
    connections.clear()


def test_released_names_are_checked_without_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_clip, "create_model", lambda *given, **more: pytest.fail("a model was built"))
    for name, given in (
        ("ViT-B-32", "laion2b_s34b_b79k"),
        ("ViT-B-32-quickgelu", "openai"),
        ("RN50-quickgelu", "yfcc15m"),
    ):
        message = refusal(lambda: require_open_clip(settings(given, name), None, False))  # noqa: B023
        assert "not on this machine" in message
        require_open_clip(settings(given, name), None, True)


@pytest.mark.parametrize(
    ("name", "given"),
    [("ViT-B-32", "laion400m_e32"), ("ViT-B-32", "OpenAI"), ("RN50", "openai"), ("ViT-H-14", "dfn5b")],
)
def test_weights_of_another_activation_are_refused(name: str, given: str) -> None:
    """open_clip 3 only warns, for OpenAI's own weights too."""
    for download in (False, True):
        message = refusal(lambda: require_open_clip(settings(given, name), None, download))  # noqa: B023
        assert "quick GELU" in message and message.endswith(f"set 'name' to {name}-quickgelu.")


def test_a_file_of_another_activation_is_recognised_by_its_hash(tag: Any, weights: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    row = {"url": f"https://openaipublic.azureedge.net/clip/models/{digest}/Tiny.pt", "quick_gelu": True}
    tag("tiny-check", "openai", **row)
    tag("tiny-check-quickgelu", "openai", **row)
    message = refusal(lambda: load_open_clip(settings(weights), CPU))
    assert "released weights 'openai'" in message and message.endswith("set 'name' to tiny-check-quickgelu.")
    assert load_open_clip(settings(weights, "tiny-check-quickgelu"), CPU).parameters > 0
    torch.save(state(1), tmp_path / "own.pt")
    assert load_open_clip(settings(tmp_path / "own.pt"), CPU).parameters > 0


def test_an_archive_of_code_is_read_only_where_it_is_the_released_one(tag: Any, weights: Path, tmp_path: Path) -> None:
    """OpenAI hands its models out as TorchScript."""
    model = open_clip.create_model("tiny-check", str(weights)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(model), str(tmp_path / "Tiny.pt"))
    message = refusal(lambda: load_open_clip(settings(tmp_path / "Tiny.pt"), CPU))
    assert "TorchScript archive" in message and "state_dict" in message
    digest = hashlib.sha256((tmp_path / "Tiny.pt").read_bytes()).hexdigest()
    tag(tag="openai", url=f"https://openaipublic.azureedge.net/clip/models/{digest}/Tiny.pt")
    encoder = load_open_clip(settings(tmp_path / "Tiny.pt"), CPU)
    assert torch.equal(encoder.encode_texts(TEXTS), load_open_clip(settings(weights), CPU).encode_texts(TEXTS))


# Refusals.


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(UserError) as found:
        call()
    message = str(found.value)
    assert "\n" not in message and message.endswith(".")
    return message


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("ViT-B/32", "openai", "no model 'ViT-B/32'; did you mean 'ViT-B-32'?; open_clip.list_models() lists"),
        ("vit", "a.pt", "no model 'vit'"),
        ("hf-hub:laion/CLIP-ViT-B-32", "openai", "'hf-hub:laion/CLIP-ViT-B-32' names a model by 'hf-hub:'"),
        ("local-dir:/tmp", "openai", "which is not supported; give a name of open_clip.list_models()"),
        ("ViT-B-32", "hf-hub:laion/x", "which is not supported"),
        ("ViT-B-32", "laion2b_s34b_b79", "did you mean 'laion2b_s34b_b79k'?; its own tags are: openai, laion400m_e31"),
        ("ViT-B-32-quickgelu", "laion2b_e16", "the tag belongs to ViT-B-32, and its own tags are: openai, laion400m"),
        ("tiny-check", "openai", "no weights 'openai'"),
        ("ViT-B-32", "nothing.pt", "nothing.pt of the model ViT-B-32 is missing"),
        ("ViT-B-32", "/no/where", "checkpoint file /no/where of the model ViT-B-32 is missing"),
    ],
)
def test_names_that_cannot_be_used(name: str, given: str, expected: str) -> None:
    for check in (
        lambda: require_open_clip(settings(given, name), None, False),
        lambda: load_open_clip(settings(given, name), CPU),
    ):
        assert expected in refusal(check)


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("content", ["text", "empty", "list", "numbers", "code", "cut", "safetensors", "folder"])
def test_what_is_no_checkpoint(content: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ("a.safetensors" if content == "safetensors" else "a.pt")
    if content in ("list", "numbers", "code"):
        saved: dict[str, Any] = {"list": [torch.zeros(2)], "numbers": {"epoch": 3}, "code": {"a": Harmful()}}
        torch.save(saved[content], path)
    elif content == "folder":
        path.mkdir()
    else:
        path.write_bytes(
            {"text": b"hello", "empty": b"", "cut": weights.read_bytes()[:5000]}.get(content, b"12345678{")
        )
    for check in (lambda: require_open_clip(settings(path), None, False), lambda: load_open_clip(settings(path), CPU)):
        message = refusal(check)
        assert str(path) in message and ("is missing" if content == "folder" else "is no checkpoint") in message
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tiny-wide", "visual.class_embedding is (32,) there, (48,) in the model"),
        ("tiny-large", "visual.positional_embedding is (5, 32) there, (17, 32) in the model"),
        ("tiny-deep", "it lacks transformer.resblocks.1.ln_1.weight"),
    ],
)
def test_weights_of_another_model(name: str, expected: str, weights: Path) -> None:
    message = refusal(lambda: load_open_clip(settings(weights, name), CPU))
    assert str(weights) in message and f"not those of the model {name} ({expected})" in message
    assert message.endswith("set 'name' to the model that they were saved from.")


def test_weights_of_another_model_from_several_machines(tmp_path: Path) -> None:
    torch.save({"state_dict": {f"module.{name}": value for name, value in state().items()}}, tmp_path / "a.pt")
    message = refusal(lambda: load_open_clip(settings(tmp_path / "a.pt", "tiny-wide"), CPU))
    assert "visual.class_embedding is (32,) there, (48,) in the model" in message


def test_weights_of_more_than_the_model(tmp_path: Path) -> None:
    torch.save({**state(), "head.weight": torch.zeros(3)}, tmp_path / "a.pt")
    assert "it has head.weight too" in refusal(lambda: load_open_clip(settings(tmp_path / "a.pt"), CPU))


def test_what_a_model_needs_of_the_hub_is_not_asked_for(weights: Path) -> None:
    for check in (
        lambda: require_open_clip(settings(weights, "tiny-hub"), None, False),
        lambda: load_open_clip(settings(weights, "tiny-hub"), CPU),
    ):
        message = refusal(check)
        assert "The tokenizer of tiny-hub cannot be made" in message and "--set download=true" in message


def test_a_missing_package_is_named(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    assert "pip install open_clip_torch" in refusal(lambda: load_open_clip(settings(weights), CPU))


def test_it_is_a_dual_encoder(weights: Path) -> None:
    encoder = load_open_clip(settings(weights), CPU)
    assert isinstance(encoder, OpenClipEncoder)
    assert isinstance(encoder.key, str) and isinstance(encoder.scale, float) and isinstance(encoder.parameters, int)
