"""`audio` reads real sound files, whose likeness is known because they are made here."""

import struct
import wave
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("soundfile")

import soundfile

from zhiyin.encoders import Audio
from zhiyin.errors import DataError

RATE = 22_050


def sound(kind: str, seed: int, seconds: float = 3.0, rate: int = RATE) -> np.ndarray:
    """(n,) float32 a chord, a beat, or noise like rain."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    noise = rng.normal(0, 0.01, len(time))
    if kind == "chord":
        octave = 2.0 ** rng.integers(0, 2)
        parts = [np.sin(2 * np.pi * hertz * octave * time + rng.uniform(0, 6)) for hertz in (220.0, 277.2, 329.6)]
        return (0.2 * np.sum(parts, 0) + noise).astype(np.float32)
    if kind == "beat":
        since = (time + rng.uniform(0, 0.5)) % 0.5
        return (0.8 * np.exp(-since * 20) * rng.normal(0, 1, len(time)) * (since < 0.3) * 0.3 + noise).astype(
            np.float32
        )
    return np.cumsum(rng.normal(0, 0.02, len(time))).astype(np.float32) * 0.02 + rng.normal(0, 0.2, len(time)).astype(
        np.float32
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for kind in ("chord", "beat", "rain"):
        for seed, ending in enumerate(("wav", "flac", "ogg", "wav")):
            soundfile.write(tmp_path / f"{kind}{seed}.{ending}", sound(kind, seed), RATE)
    return tmp_path


def table(*paths: str | None) -> pa.Table:
    return pa.table({"item_id": [str(row) for row in range(len(paths))], "audio": pa.array(paths, pa.string())})


def test_files_outside_of_the_root_are_refused(folder: Path) -> None:
    (folder / "shop").mkdir()
    paths = table("../chord0.wav", str(folder / "beat0.wav"))
    assert Audio(root=str(folder / "shop")).encode(paths, keep=False).refused.tolist() == [0, 1]
    assert Audio(root=str(folder / "shop"), outside=True).encode(paths, keep=False).speaks.all()
    assert Audio(root=str(folder)).encode(table("shop/../chord0.wav"), keep=False).speaks.all()


def test_sounds_of_a_kind_lie_together(folder: Path) -> None:
    names = sorted(one.name for one in folder.iterdir())
    found = Audio(root=str(folder)).encode(table(*names), keep=False).values
    kinds = np.array([name[0] for name in names])
    alike = found @ found.T - 2 * np.eye(12)
    assert (kinds[alike.argmax(1)] == kinds).all()


def _written(path: Path, change: str) -> None:
    one = sound("chord", 0)
    if change == "louder":
        soundfile.write(path, one * 1.5, RATE)
    elif change == "stereo":
        soundfile.write(path, np.stack([one, one], 1), RATE)
    elif change == "another rate":
        from scipy.signal import resample_poly

        soundfile.write(path, resample_poly(one, 320, 147), 48_000)
    else:  # 16 bits, by the standard library
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes((one * 32_000).astype("<i2").tobytes())


@pytest.mark.parametrize("change", ["louder", "stereo", "another rate", "16 bits"])
def test_the_same_sound_in_another_guise_is_nearest(folder: Path, change: str) -> None:
    _written(folder / "again.wav", change)
    found = Audio(root=str(folder)).encode_files(["again.wav", "chord0.wav", "chord1.flac", "beat0.wav", "rain0.wav"])
    cosines = found[1:] @ found[0]
    assert cosines.argmax() == 0
    assert cosines[0] > 0.98


def test_missing_broken_and_silent_files_are_counted(folder: Path) -> None:
    (folder / "text.wav").write_text("no sound")
    (folder / "empty.wav").write_bytes(b"")
    soundfile.write(folder / "silent.wav", np.zeros(RATE, np.float32), RATE)
    soundfile.write(folder / "nothing.wav", np.zeros(0, np.float32), RATE)
    soundfile.write(folder / "short.wav", sound("chord", 0)[:50], RATE)
    paths = ["chord0.wav", None, "gone.wav", "text.wav", "empty.wav", "silent.wav", "nothing.wav", "short.wav"]
    found = Audio(root=str(folder)).encode(table(*paths), keep=False)
    assert found.silent.tolist() == [1, 2]
    assert found.unreadable.tolist() == [3, 4, 5, 6]
    assert np.isfinite(found.values).all()
    assert found.speaks.tolist() == [True, *[False] * 6, True]


def test_rates_that_nobody_records_are_refused(folder: Path) -> None:
    soundfile.write(folder / "plain.wav", sound("chord", 0), RATE)
    plain = (folder / "plain.wav").read_bytes()
    rates = [1, 999, 192_000, 768_001, 1_999_999_973, 2**31 - 1]
    for rate in rates:
        (folder / f"{rate}.wav").write_bytes(plain[:24] + struct.pack("<I", rate) + plain[28:])
    found = Audio(root=str(folder)).encode(table("plain.wav", *(f"{rate}.wav" for rate in rates)), keep=False)
    assert found.unreadable.tolist() == [1, 2, 4, 5, 6]


@pytest.mark.parametrize("fault", ["memory", "system"])
def test_a_fault_that_passes_is_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    from zhiyin.encoders import audio

    encoder, paths = Audio(root=str(folder)), table("chord0.wav", "beat0.wav")

    def fails(*_: object, **__: object) -> object:
        raise MemoryError if fault == "memory" else soundfile.LibsndfileError(2)

    with monkeypatch.context() as patched:
        patched.setattr(*((audio, "_at_rate") if fault == "memory" else (soundfile, "SoundFile")), fails)
        assert encoder.encode(paths, keep=folder / "kept").unreadable.tolist() == [0, 1]
    again = encoder.encode(paths, keep=folder / "kept")
    assert (again.unreadable.tolist(), again.encoded) == ([], 2)


def test_of_a_long_file_the_middle_is_listened_to(folder: Path) -> None:
    long = np.concatenate([sound("rain", 5, 4), sound("chord", 5, 4), sound("rain", 6, 4)])
    soundfile.write(folder / "long.wav", long, RATE)
    soundfile.write(folder / "middle.wav", long[4 * RATE : 8 * RATE], RATE)
    found = Audio(root=str(folder), seconds=4).encode_files(["long.wav", "middle.wav"])
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)


def test_how_much_is_heard_is_part_of_what_vectors_depend_on() -> None:
    assert Audio(seconds=4).identity() != Audio().identity()
    assert Audio(root="/elsewhere").identity() == Audio().identity()


def test_a_catalogue_without_sounds_is_refused() -> None:
    with pytest.raises(DataError, match="reads paths of files"):
        Audio().encode(pa.table({"item_id": ["1"], "title": ["a"]}), keep=False)


def test_a_model_of_transformers_is_read(folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    net = transformers.ASTModel(transformers.ASTConfig(**shape, max_length=128, num_mel_bins=16))
    net.save_pretrained(folder / "ast")
    transformers.ASTFeatureExtractor(num_mel_bins=16, max_length=128).save_pretrained(folder / "ast")
    encoder = Audio(root=str(folder), model=str(folder / "ast"), batch_size=2)
    found = encoder.encode_files(["chord0.wav", "beat0.wav", "rain0.wav"])
    assert found.shape == (3, 16)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.unique(found.round(5), axis=0).shape[0] == 3


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_with_a_model_a_batch_equals_its_parts(folder: Path, norm: str) -> None:
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    convolution = {"conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
    about = {"feat_extract_norm": norm, "do_stable_layer_norm": norm == "layer"}
    net = transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**shape, **convolution, **about))
    net.save_pretrained(folder / "wav2vec")
    reads = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=norm == "layer")
    reads.save_pretrained(folder / "wav2vec")
    soundfile.write(folder / "long.wav", sound("chord", 5, 5), RATE)
    soundfile.write(folder / "tiny.wav", sound("chord", 5)[:40], RATE)  # less than the model can read
    encoder = Audio(root=str(folder), model=str(folder / "wav2vec"), batch_size=8)
    paths = ["rain0.wav", "long.wav", "beat0.wav", "tiny.wav"]
    whole = encoder.encode_files(paths)
    assert whole.any(1).all()
    for row, path in enumerate(paths):
        np.testing.assert_allclose(encoder.encode_files([path])[0], whole[row], atol=1e-5)


def test_with_a_model_what_is_drawn_of_a_long_sound_is_the_same(folder: Path) -> None:
    transformers = pytest.importorskip("transformers")

    reads = transformers.ClapFeatureExtractor(max_length_s=1, truncation="rand_trunc")
    heard = [Audio()._prepared(reads, sound("rain", 0, 3, 16_000))["input_features"] for _ in range(2)]
    np.testing.assert_array_equal(*heard)
