"""`image` reads real files of several formats, whose likeness is known because they are drawn here."""

import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("PIL")

from PIL import Image as Pillow
from PIL import ImageDraw

from zhiyin.encoders import Fused, Image, load
from zhiyin.errors import DataError


def drawn(kind: str, seed: int) -> Pillow.Image:
    """A picture of a kind: coloured stripes that run one way, on a ground of a colour, with noise."""
    rng = np.random.default_rng(seed)
    ground, ink, way = {
        "red": ("#a01010", "#ffd0c0", "across"),
        "blue": ("#1020a0", "#c0d0ff", "down"),
        "green": ("#108030", "#d0ffc0", "dots"),
    }[kind]
    picture = Pillow.new("RGB", (240, 180), ground)
    pen = ImageDraw.Draw(picture)
    shift = int(rng.integers(0, 20))
    for at in range(shift, 240, 30):
        if way == "across":
            pen.rectangle((0, at, 240, at + 8), fill=ink)
        elif way == "down":
            pen.rectangle((at, 0, at + 8, 180), fill=ink)
        else:
            for row in range(shift, 180, 30):
                pen.ellipse((at, row, at + 12, row + 12), fill=ink)
    noisy = np.asarray(picture, np.int16) + rng.normal(0, 8, (180, 240, 3))
    return Pillow.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for kind in ("red", "blue", "green"):
        for seed, ending in enumerate(("png", "jpg", "webp", "bmp")):
            drawn(kind, seed).save(tmp_path / f"{kind}{seed}.{ending}")
    return tmp_path


def table(*paths: str | None) -> pa.Table:
    return pa.table({"item_id": [str(row) for row in range(len(paths))], "image": pa.array(paths, pa.string())})


def test_pictures_of_a_kind_lie_together(folder: Path) -> None:
    names = sorted(one.name for one in folder.iterdir())
    found = Image(root=str(folder)).encode(table(*names), keep=False)
    kinds = np.array([name[0] for name in names])
    alike = found.values @ found.values.T - 2 * np.eye(12)
    assert (kinds[alike.argmax(1)] == kinds).all()
    same = kinds[:, None] == kinds[None]
    assert alike[same & ~np.eye(12, dtype=bool)].min() > alike[~same].max() + 0.1


@pytest.mark.parametrize("change", ["format", "size", "grey border kept", "transparent"])
def test_the_same_picture_in_another_guise_is_nearest(folder: Path, change: str) -> None:
    one = drawn("red", 0)
    again = folder / "again.png"
    if change == "format":
        one.save(folder / "again.jpg", quality=60)
        again = folder / "again.jpg"
    elif change == "size":
        one.resize((720, 540)).save(again)
    elif change == "transparent":
        one.convert("RGBA").save(again)
    else:
        one.convert("P").save(again)
    found = Image(root=str(folder)).encode_files([again, "red0.png", "red1.jpg", "blue0.png"])
    cosines = found[1:] @ found[0]
    assert cosines.argmax() == 0
    assert cosines[0] > 0.97


def test_missing_and_broken_files_are_counted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "text.png").write_text("no picture")
    (folder / "half.png").write_bytes((folder / "red0.png").read_bytes()[:500])
    (folder / "empty.png").write_bytes(b"")
    paths = ["red0.png", None, "gone.png", "text.png", " ", "half.png", "empty.png", str(folder / "blue0.png"), "."]
    found = Image(root=str(folder)).encode(table(*paths), keep=False)
    assert found.silent.tolist() == [1, 2, 4, 8]
    assert found.unreadable.tolist() == [3, 5, 6]
    assert found.speaks.tolist() == [True, *[False] * 6, True, False]
    assert not found.values[~found.speaks].any()
    assert "3 of 9 items cannot be read" in caplog.text


def test_files_outside_of_the_root_are_refused(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = folder / "shop"
    (root / "deep").mkdir(parents=True)
    (root / "red0.png").write_bytes((folder / "red0.png").read_bytes())
    (root / "deep" / "linked.png").symlink_to(folder / "blue0.png")
    (root / "deep" / "within.png").symlink_to(root / "red0.png")
    (root / "deep" / "round.png").symlink_to(root / "deep" / "round.png")
    paths = ["red0.png", "../red0.png", str(folder / "blue0.png"), "deep/linked.png", "deep/within.png"]
    paths += ["deep/../red0.png", "deep/round.png", "gone.png", "../gone.png", str(root / "red0.png"), None, "a\0b.png"]
    guarded = Image(root=str(root))
    found = guarded.encode(table(*paths), keep=folder / "kept")
    assert found.refused.tolist() == [1, 2, 3, 8]
    assert found.silent.tolist() == [1, 2, 3, 6, 7, 8, 10, 11]
    assert found.speaks.sum() == 4
    assert "4 of 12 items name a file outside of `root`, which is not read unless outside=True" in caplog.text
    again = load(guarded.save(folder / "saved")).encode(table(*paths), keep=folder / "kept")
    assert again.refused.tolist() == found.refused.tolist()
    free = Image(root=str(root), outside=True)
    assert free.identity() == guarded.identity()
    read = free.encode(table(*paths), keep=folder / "kept")
    assert read.silent.tolist() == [6, 7, 8, 10, 11]
    assert not len(read.refused)
    # a root that is a link itself is where it leads
    (folder / "link").symlink_to(root)
    assert not len(Image(root=str(folder / "link")).encode(table(*paths[:1]), keep=False).refused)


def test_without_a_root_or_by_hand_every_file_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "shop").mkdir()
    monkeypatch.chdir(folder / "shop")
    paths = ("../red0.png", str(folder / "blue0.png"))
    for encoder in (Image(), load(Image().save(folder / "saved"))):
        assert encoder.encode(table(*paths), keep=False).speaks.all()
    guarded = Image(root=str(folder / "shop"))
    assert guarded.encode_files(paths).any(1).all()  # whoever calls means them
    assert guarded.encode(table(*paths), keep=False).refused.tolist() == [0, 1]


def test_what_parts_refuse_is_counted(folder: Path) -> None:
    told = table("red0.png", "blue0.png", "../out.png", "red1.jpg", "blue1.jpg")
    told = told.append_column("title", pa.array(["red tea", "tea cup", "cup red", "red tea", "tea cup"]))
    parts = [
        {"encoder": "image", "settings": {"root": str(folder)}},
        {"encoder": "tfidf", "settings": {"max_share": 1}},
    ]
    encoder = Fused(parts=parts, missing="zero").fit(told)
    found = encoder.encode(told, keep=False)
    assert found.refused.tolist() == [2]
    assert found.speaks.all()


def test_a_picture_that_would_fill_the_memory_is_not_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from zhiyin.encoders import image

    monkeypatch.setattr(image, "MOST_PIXELS", 1_000)
    assert Image(root=str(folder)).encode(table("red0.png"), keep=False).unreadable.tolist() == [0]


def test_a_header_that_promises_too_much_stops_nobody(folder: Path) -> None:
    def chunk(kind: bytes, said: bytes) -> bytes:
        return struct.pack(">I", len(said)) + kind + said + struct.pack(">I", zlib.crc32(kind + said))

    for side in (9_700, 12_000, 20_000):  # at some of which Pillow warns, at others it raises an error of its own
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
        (folder / f"{side}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    whole = (folder / "red0.png").read_bytes()
    (folder / "chunk.png").write_bytes(whole[:33] + whole[33:].replace(b"IDAT", b"\xcd\x6f\xbd\xf2", 1))
    paths = ["red0.png", "9700.png", "12000.png", "20000.png", "chunk.png", "blue0.png"]
    assert Image(root=str(folder)).encode(table(*paths), keep=False).unreadable.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("fault", [OSError(24, "Too many open files"), MemoryError()])
def test_a_fault_that_passes_is_not_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: Exception
) -> None:
    encoder, opens = Image(root=str(folder)), Image._open

    def fails(self: Image, path: Path) -> np.ndarray:
        if path.name in ("red0.png", "again.png"):
            raise fault
        return opens(self, path)

    (folder / "again.png").write_bytes((folder / "red0.png").read_bytes())
    (folder / "text.png").write_text("no picture")
    paths = ["red0.png", "blue0.png", "text.png", "again.png"]
    with monkeypatch.context() as patched:
        patched.setattr(Image, "_open", fails)
        first = encoder.encode(table(*paths), keep=folder / "kept")
        assert encoder.encode(table("red0.png"), keep=False).values.tolist() == [[0.0] * encoder.width]
    assert first.unreadable.tolist() == [0, 2, 3]
    assert "tried again next time" in caplog.text
    again = encoder.encode(table(*paths), keep=folder / "kept")
    assert again.unreadable.tolist() == [2]
    assert again.encoded == 1
    np.testing.assert_array_equal(again.values, encoder.encode(table(*paths), keep=False).values)


def test_what_a_slow_encoder_read_is_kept_while_it_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from zhiyin.encoders import _kept, base
    from zhiyin.encoders._kept import KeptVectors

    for module in (_kept, base):
        monkeypatch.setattr(module, "MOST_SECONDS", 0.0)
    encoder, opens = Image(root=str(folder), batch_size=1), Image._open
    names, seen = sorted(one.name for one in folder.iterdir()), []

    def watched(self: Image, path: Path) -> np.ndarray:
        if (folder / "kept").is_dir():
            kept = KeptVectors(encoder.identity(), folder / "kept")  # as another process would find it
            seen.append(len(names) - len(kept.missing([encoder._key(str(folder / one)) for one in names])))
        return opens(self, path)

    monkeypatch.setattr(Image, "_open", watched)
    encoder.encode(table(*names), keep=folder / "kept")
    assert seen == list(range(1, 12))


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_a_picture_is_turned_as_its_exif_says(folder: Path, ending: str) -> None:
    for way, turn in {3: 180, 6: 90, 8: 270}.items():  # what a camera wrote that was held like this
        exif = Pillow.Exif()
        exif[0x0112] = way
        held = Pillow.open(folder / "red0.png").rotate(turn, expand=True)
        held.save(folder / f"{way}.{ending}", exif=exif, **({"quality": 95} if ending == "jpg" else {}))
    found = Image(root=str(folder)).encode_files(["red0.png", *(f"{way}.{ending}" for way in (3, 6, 8))])
    assert (found[1:] @ found[0]).min() > 0.995


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of what it could not read
def test_a_broken_exif_does_no_harm(folder: Path) -> None:
    plain = Pillow.open(folder / "red0.png")
    plain.save(folder / "plain.jpg")
    plain.save(folder / "broken.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\xff" * 20)
    found = Image(root=str(folder)).encode_files(["plain.jpg", "broken.jpg"])
    np.testing.assert_array_equal(found[0], found[1])


def test_vectors_are_kept_by_what_files_hold(folder: Path) -> None:
    encoder = Image(root=str(folder))
    (folder / "copy.png").write_bytes((folder / "red0.png").read_bytes())
    first = encoder.encode(table("red0.png", "blue0.png"), keep=folder / "kept")
    again = Image(root="/").encode(table(str(folder / "copy.png")), keep=folder / "kept")
    assert (first.encoded, again.encoded, again.kept) == (2, 0, 1)
    (folder / "red0.png").write_bytes((folder / "blue1.jpg").read_bytes())
    assert encoder.encode(table("red0.png"), keep=folder / "kept").encoded == 1


def test_save_and_load(folder: Path) -> None:
    encoder = Image(root=str(folder))
    again = load(encoder.save(folder / "encoder"))
    assert again.identity() == encoder.identity()
    np.testing.assert_array_equal(again.encode_files(["red0.png"]), encoder.encode_files(["red0.png"]))


def test_a_catalogue_without_pictures_is_refused() -> None:
    with pytest.raises(DataError, match="reads paths of files"):
        Image().encode(pa.table({"item_id": ["1"], "title": ["a"]}), keep=False)
    assert Image().encode(table(None), keep=False).values.shape == (1, Image().width)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small models of transformers, whose weights are drawn here."""
    transformers = pytest.importorskip("transformers")
    import torch

    folder = tmp_path_factory.mktemp("models")
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    vision = small | {"image_size": 32, "patch_size": 8}
    torch.manual_seed(0)
    vit = transformers.ViTModel(transformers.ViTConfig(**vision))
    clip = transformers.CLIPModel(transformers.CLIPConfig(text_config=small, vision_config=vision, projection_dim=8))
    prepares = transformers.CLIPImageProcessor(size={"height": 32, "width": 32}, crop_size={"height": 32, "width": 32})
    for name, net in {"vit": vit, "clip": clip}.items():
        net.save_pretrained(folder / name)
        prepares.save_pretrained(folder / name)
    return folder


@pytest.mark.parametrize(("name", "width"), [("vit", 16), ("clip", 8)])
def test_with_a_model_vectors_are_those_of_the_model(folder: Path, models: Path, name: str, width: int) -> None:
    encoder = Image(root=str(folder), model=str(models / name), batch_size=3)
    paths = ["red0.png", "blue1.jpg", "green2.webp", "red1.jpg"]
    found = encoder.encode_files(paths)
    assert found.shape == (4, width)
    np.testing.assert_allclose(found[2:3], encoder.encode_files(paths[2:3]), atol=1e-5)
    assert np.unique(found.round(5), axis=0).shape[0] == 4
    import torch
    from transformers import AutoImageProcessor, AutoModel

    net = AutoModel.from_pretrained(models / name).eval()
    held = Pillow.open(folder / paths[0]).convert("RGB")
    inputs = AutoImageProcessor.from_pretrained(models / name)(images=[held], return_tensors="pt")
    with torch.no_grad():
        output = net.get_image_features(**inputs) if name == "clip" else net(**inputs)
        right = getattr(output, "pooler_output", output)[0].numpy()
    np.testing.assert_allclose(found[0], right / np.linalg.norm(right), atol=1e-5)


def _without(models: Path, name: str, lost: str, folder: Path) -> Path:
    """A copy of a model that lacks weights."""
    from safetensors.numpy import load_file, save_file

    copy = Path(shutil.copytree(models / name, folder / f"{name} without {lost}"))
    held = {key: one for key, one in load_file(copy / "model.safetensors").items() if lost not in key}
    save_file(held, copy / "model.safetensors", {"format": "pt"})
    return copy


def test_with_a_model_what_would_be_drawn_at_random_is_not_read(folder: Path, models: Path, tmp_path: Path) -> None:
    headless = Image(root=str(folder), model=str(_without(models, "vit", "pooler", tmp_path)))
    import torch
    from transformers import AutoImageProcessor, AutoModel

    net = AutoModel.from_pretrained(models / "vit").eval()
    held = Pillow.open(folder / "red0.png").convert("RGB")
    inputs = AutoImageProcessor.from_pretrained(models / "vit")(images=[held], return_tensors="pt")
    with torch.no_grad():
        right = net(**inputs).last_hidden_state.mean(1)[0].numpy()
    np.testing.assert_allclose(headless.encode_files(["red0.png"])[0], right / np.linalg.norm(right), atol=1e-5)
    with pytest.raises(DataError, match=r"lacks 1 of the model's weights, .*patch_embeddings"):
        Image(root=str(folder), model=str(_without(models, "vit", "projection.weight", tmp_path))).encode_files(
            ["red0.png"]
        )


def test_with_a_model_that_would_need_the_internet(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataError, match=r"take the descriptor that needs none \(leave model out\), or a folder"):
        Image(model="nobody/nothing").encode_files([str(folder / "red0.png")])


def test_with_a_model_other_weights_are_another_encoder(models: Path) -> None:
    assert Image(model=str(models / "vit")).identity() != Image(model=str(models / "clip")).identity()


def test_with_a_model_a_folder_that_is_no_model_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"config\.json is missing"):
        Image(root=str(folder), model=str(folder)).encode(table("red0.png"), keep=False)
