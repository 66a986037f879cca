"""test_talking: `chat` says what the model generates, as it comes, and names what it cannot do."""

import io
import json

import pytest
from languages import drawn

import lichen as li
from lichen.core.errors import UsageError
from lichen.engine.decode import Decoder
from lichen.engine.language import llamafolder


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
        (("--max-tokens", "0"), "`--max-tokens` must be 1 at least"),
        (("--top_k", "5"), "did you mean `--top-k`"),
    ],
)
def test_mistakes_are_named(lichen, file, flags, said):
    found = lichen("chat", file, "--prompt", "moss", *flags)
    assert found.code == 2
    assert said in found.err


def test_a_mistake_is_said_before_anything_else(lichen, file):
    assert lichen("chat", file, "--prompt", "moss", "--max-tokens", "-3").out == ""


def test_nothing_that_is_piped_in_is_a_mistake_and_so_are_bytes_that_are_no_text(lichen, file, monkeypatch):
    for piped in ("", "\n \n"):
        monkeypatch.setattr("sys.stdin", io.StringIO(piped))
        found = lichen("chat", file)
        assert found.code == 2 and "no line was piped in" in found.err and "--prompt" in found.err
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"moss\n\xff\n"), encoding="utf-8"))
    found = lichen("chat", file)
    assert found.code == 2 and "must be UTF-8" in found.err
    found = lichen("chat", file, "--prompt", "mo\udcff")
    assert found.code == 2 and "half a character" in found.err


def test_lines_of_windows_are_lines(lichen, model, file, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("moss\r\n"))
    said = lichen("chat", file, "--max-tokens", "5", "--temperature", "0")
    assert said.out == f"moss{model.generate('moss', max_new_tokens=5, temperature=0)[0]}\n"


def test_a_prompt_that_is_longer_than_the_model_reads_is_said_to_be(lichen, file):
    said = lichen("chat", file, "--prompt", "moss bark " * 20, "--max-tokens", "2")
    assert said.code == 0 and "the model reads 24 tokens" in said.err and "the last 12" in said.err
    assert not lichen("chat", file, "--prompt", "moss", "--max-tokens", "2").err


def stopping(after):
    """A stream that Ctrl-C interrupts after so many parts."""
    whole = Decoder.stream

    def stream(self, *given, **how):
        for place, part in enumerate(whole(self, *given, **how)):
            if place == after:
                raise KeyboardInterrupt
            yield part

    return stream


def test_ctrl_c_ends_an_answer_and_what_was_said_stays(lichen, model, file, monkeypatch):
    monkeypatch.setattr(Decoder, "stream", stopping(2))
    said = lichen("chat", file, "--prompt", "moss", "--max-tokens", "9", "--temperature", "0")
    assert said.code == 130 and said.out.startswith("moss") and said.out.endswith("\n") and not said.err
    assert len(said.out) < len(model.generate("moss", max_new_tokens=9, temperature=0)[0]) + 4


def test_at_a_terminal_it_goes_on_after_ctrl_c_until_ctrl_d(lichen, file, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    typed = iter(["moss", "", "wet"])

    def line(prompt):
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("builtins.input", line)
    monkeypatch.setattr(Decoder, "stream", stopping(1))
    said = lichen("chat", file, "--max-tokens", "4", "--temperature", "0")
    assert said.code == 0 and [text[:3] for text in said.out.splitlines()] == ["mos", "wet"]
    assert "goes on from each line" in said.err and "Ctrl-D ends" in said.err


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
    assert "transformers goes on with 4 of 4 texts as it does" in said.out
    files = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"README.txt", *files}


def test_a_folder_that_transformers_goes_on_with_otherwise_does_not_leave(lichen, tmp_path, monkeypatch):
    """A planted defect that no loss shows: every token ends a text."""
    real = llamafolder.write

    def broken(model, folder):
        real(model, folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "eos_token_id": list(range(260))}))

    monkeypatch.setattr(llamafolder, "write", broken)
    drawn(mlp="swiglu", qk_norm=False).save(tmp_path / "lm.lichen")
    said = lichen("export", tmp_path / "lm.lichen", "--out", tmp_path / "out", "--format", "llama")
    assert said.code == 1 and "4 of 4 go on otherwise" in said.err
    assert not (tmp_path / "out").exists()


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
