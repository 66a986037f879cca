"""test_talking: `chat` says what the model generates, as it comes, and names what it cannot do."""

import io

import pytest
from languages import drawn

import lichen as li
from lichen.core.errors import UsageError
from lichen.engine.decode import Decoder


@pytest.fixture(scope="module")
def model():
    return drawn()


@pytest.fixture
def file(model, tmp_path):
    model.save(tmp_path / "lm.lichen")
    return tmp_path / "lm.lichen"


def test_a_prompt_is_gone_on_from(lichen, model, file):
    said = lichen(
        "chat", file, "--prompt", "moss", "--max-tokens", "8", "--temperature", "1.5", "--seed", "3"
    )
    (text,) = model.generate("moss", max_new_tokens=8, temperature=1.5, seed=3)
    assert (said.code, said.out) == (0, f"moss{text}\n")


def test_lines_are_gone_on_from_one_by_one(lichen, model, file, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("moss\n\nwet bark\n"))
    said = lichen("chat", file, "--max-tokens", "5", "--temperature", "0")
    texts = [model.generate(line, max_new_tokens=5, temperature=0)[0] for line in ("moss", "wet bark")]
    assert said.out == f"moss{texts[0]}\nwet bark{texts[1]}\n"


def test_it_answers_in_json(lichen, model, file):
    said = lichen("chat", file, "--prompt", "moss", "--max-tokens", "5", "--top-k", "3", "--json")
    assert said.data == [{"prompt": "moss", "text": model.generate("moss", max_new_tokens=5, top_k=3)[0]}]


def test_it_streams(lichen, file, monkeypatch):
    written = []
    monkeypatch.setattr("sys.stdout.write", written.append, raising=False)
    lichen("chat", file, "--prompt", "moss", "--max-tokens", "6", "--temperature", "0")
    assert len(written) > 4


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--temperature", "-1"), "`temperature` must be from 0 to 100"),
        (("--top-p", "2"), "`top_p` must be above 0"),
        (("--max-tokens", "0"), "`max_new_tokens` must be 1 at least"),
        (("--top_k", "5"), "did you mean `--top-k`"),
    ],
)
def test_mistakes_are_named(lichen, file, flags, said):
    found = lichen("chat", file, "--prompt", "moss", *flags)
    assert found.code == 2
    assert said in found.err


def test_a_model_of_pictures_does_not_chat(lichen, home):
    found = lichen("chat", "small", "--prompt", "moss")
    assert found.code == 2
    assert "only a language model tells texts; this one is for image_classification" in found.err


def test_it_leaves_as_files_that_answer_as_it_does(lichen, file, tmp_path):
    said = lichen("export", file, "--out", tmp_path / "out", "--format", "safetensors")
    assert said.code == 0 and "bit by bit" in said.out
    assert "by the tokenizer in model.json" in (tmp_path / "out" / "README.txt").read_text()
    said = lichen("export", file, "--out", tmp_path / "onnx")
    assert said.code == 2 and "the data that an export is checked on are not here" in said.err
    said = lichen("export", file, "--out", tmp_path / "llama", "--format", "llama")
    assert said.code == 2 and "which a Llama cannot" in said.err


def test_a_llama_leaves_as_a_folder(lichen, tmp_path):
    drawn(mlp="swiglu", qk_norm=False).save(tmp_path / "lm.lichen")
    said = lichen("export", tmp_path / "lm.lichen", "--out", tmp_path / "out", "--format", "llama")
    assert said.code == 0 and "32 rows of noise" in said.out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"README.txt", "config.json", "model.safetensors", "tokenizer.json"}


def test_a_llama_leaves_as_a_gguf_file_that_says_what_rounding_cost(lichen, tmp_path):
    drawn(mlp="swiglu", qk_norm=False).save(tmp_path / "lm.lichen")
    said = lichen("export", tmp_path / "lm.lichen", "--out", tmp_path / "out", "--format", "gguf")
    assert said.code == 0 and "bit by bit" in said.out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"README.txt", "model.gguf"}
    said = lichen("export", tmp_path / "lm.lichen", "--out", tmp_path / "few", "--format", "gguf-q4_0")
    assert "nats a token" in (said.out or said.err)


def spoken(model, **more):
    """The same model as if it had been taught conversations."""
    from lichen.data import chat

    assets = {**model.assets, "template": chat.plain(model.assets["tokenizer"])}
    return model.with_weights(model.weights(), assets=assets)


def test_a_model_of_conversations_answers_and_remembers(lichen, model, tmp_path, monkeypatch):
    own = spoken(drawn(max_tokens=120))
    own.save(tmp_path / "chat.lichen")
    how = {"max_new_tokens": 6, "temperature": 0.9, "seed": 2}
    flags = ("--max-tokens", "6", "--temperature", "0.9", "--seed", "2")
    said = lichen("chat", tmp_path / "chat.lichen", "--prompt", "moss", *flags)
    (first,) = own.generate("moss", **how)
    assert said.out == f"{first}\n"
    monkeypatch.setattr("sys.stdin", io.StringIO("moss\nbark\n"))
    said = lichen("chat", tmp_path / "chat.lichen", "--system", "be brief", *flags)
    talk = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "moss"}]
    (one,) = own.generate(talk, **how)
    talk += [{"role": "assistant", "content": one}, {"role": "user", "content": "bark"}]
    assert said.out == f"{one}\n{own.generate(talk, **how)[0]}\n"


def test_plainly_asked_it_goes_on_as_if_it_had_never_been_taught(lichen, model, tmp_path):
    taught = spoken(drawn(max_tokens=120))
    taught.save(tmp_path / "chat.lichen")
    how = {"max_new_tokens": 6, "temperature": 0}
    plain = drawn(max_tokens=120).generate("moss", **how)
    assert taught.generate("moss", **how, is_plain=True) == plain != taught.generate("moss", **how)
    flags = ("--plain", "--prompt", "moss", "--max-tokens", "6", "--temperature", "0")
    assert lichen("chat", tmp_path / "chat.lichen", *flags).out == f"moss{plain[0]}\n"
    found = lichen("chat", tmp_path / "chat.lichen", *flags, "--system", "be brief")
    assert found.code == 2 and "--plain" in found.err
    with pytest.raises(UsageError, match="asked plainly"):
        taught.generate([{"role": "user", "content": "moss"}], is_plain=True)


def test_who_was_never_taught_conversations_takes_no_instructions(lichen, file):
    found = lichen("chat", file, "--prompt", "moss", "--system", "be brief")
    assert found.code == 2 and "taught conversations" in found.err


def test_an_adapter_leaves_as_a_folder_that_peft_opened(lichen, tmp_path):
    pytest.importorskip("peft")
    data = li.conversations([{"prompt": f"say {row}", "answer": "moss"} for row in range(12)])
    start = drawn(max_tokens=32, depth=1, mlp="swiglu", qk_norm=False)
    li.adapt.instruct(start, data, epochs=1, rank=1, precision="float32").save(tmp_path / "a.lichen")
    said = lichen("export", tmp_path / "a.lichen", "--out", tmp_path / "out", "--format", "peft")
    assert said.code == 0 and "answers as the value" in said.out
    assert f"base     {start.part_digest()[:10]}" in (tmp_path / "out" / "README.txt").read_text()
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
    start.save(tmp_path / "b.lichen")
    said = lichen("export", tmp_path / "b.lichen", "--out", tmp_path / "no", "--format", "peft")
    assert said.code == 2 and "this model has none" in said.err and "--format llama" in said.err


def test_what_is_streamed_is_whole_characters(model):
    parts = list(Decoder.of(model).stream("moss", max_new_tokens=30))
    assert all(parts)
