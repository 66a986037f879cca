"""languages: small models of texts and their data, for tests of what is done with one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

import lichen as li
from lichen.data import tokenizer
from lichen.engine.language import llama
from lichen.engine.modules import architecture, backend

WORDS = ["moss", "lichen", "stone", "bark", "rain", "grows", "on", "the", "old", "wet"]


def texts(num_rows=80, seed=0):
    """Sentences of few words, so that much of each is told by what stands before."""
    draws = np.random.default_rng(seed)
    rows = [" ".join(draws.choice(WORDS, draws.integers(2, 9))) + f" {row}." for row in range(num_rows)]
    return li.texts(rows)


def drawn(max_tokens=24, seed=0, size=260, **options):
    """A language model whose weights were drawn and never trained: it says odd things, all of them surely."""
    asset = tokenizer.learn(WORDS, size)
    teller = tokenizer.of(asset)
    chosen = {"depth": 2, "width": 32, "num_heads": 2, **options}
    torch.manual_seed(seed)
    net = architecture.build("gpt", chosen, (max_tokens, teller.size), 0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) * 1.5 / parameter.shape[-1] ** 0.5)
    assets = {"tokenizer": asset, "max_tokens": max_tokens, "is_packed": True}
    return backend.wrap(net, task="language_modelling", assets=assets)


def llama_folder(folder: Path, **change) -> Path:
    """A folder with a small Llama that was never trained, its pieces single letters."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    options = {"depth": 1, "width": 16, "num_heads": 2, "mlp": "swiglu", "qk_norm": False}
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "mo", "ss", "moss"]
    pieces += list(" mosbarkwetl")
    net = architecture.build("gpt", options, (32, len(pieces)), 0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter))
    config = {**llama.config_of(net), "eos_token_id": 2, **change}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.json").write_text(json.dumps([{"piece": piece, "score": 0.0} for piece in pieces]))
    tensors = {name: tensor.contiguous() for name, tensor in llama.tensors_of(net).items()}
    save_file(tensors, folder / "model.safetensors")
    return folder


TURNS = """\
{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' }}
{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""


def turns_folder(folder: Path, eos="<|im_end|>", stops=2) -> Path:
    """A folder with a small Llama like SmolLM2: digits one by one, and a turn begins every conversation.

    Args:
        eos: what its tokenizer says ends a text. stops: what its configuration says does.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    folder.mkdir(parents=True, exist_ok=True)
    pairs = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pairs, decoders.ByteLevel()
    apart = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|spare|>"]
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=pairs.alphabet(), special_tokens=apart,
                                  show_progress=False)  # fmt: skip
    made.train_from_iterator(["in 2026 moss 2026"] * 3, trainer)
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pairs])
    made.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    options = {"depth": 1, "width": 32, "num_heads": 2, "mlp": "swiglu", "qk_norm": False}
    net = architecture.build("gpt", options, (64, made.get_vocab_size()), 0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter) / 3)
    config = {**llama.config_of(net), "bos_token_id": 1, "eos_token_id": stops}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<|im_start|>", "eos_token": eos}))
    (folder / "chat_template.jinja").write_text(TURNS)
    tensors = {name: tensor.contiguous() for name, tensor in llama.tensors_of(net).items()}
    save_file(tensors, folder / "model.safetensors")
    return folder


BERT = {
    "model_type": "bert", "hidden_act": "gelu", "hidden_size": 16, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 12, "layer_norm_eps": 1e-12,
    "vocab_size": 40, "position_embedding_type": "absolute",
}  # fmt: skip
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, "##s", "##es"]


def bert_folder(folder: Path, max_tokens: int = 10, **change) -> Path:
    """A folder with a small sentence encoder that was never trained, as sentence-transformers saves one."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "1_Pooling").mkdir(exist_ok=True)
    made = Tokenizer(models.WordPiece(dict(zip(PIECES, range(40))), unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens(PIECES[:4])
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.save(str(folder / "tokenizer.json"))
    config = {**BERT, **change}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": max_tokens}))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    save_file(_bert_tensors(config), folder / "model.safetensors")
    return folder


def _bert_tensors(config) -> dict[str, torch.Tensor]:
    draws = torch.Generator().manual_seed(0)
    width, hidden = config["hidden_size"], config["intermediate_size"]
    tables = {"word": config["vocab_size"], "position": config["max_position_embeddings"], "token_type": 2}
    shapes = {f"embeddings.{name}_embeddings.weight": (rows, width) for name, rows in tables.items()}
    dense = {"attention.self.query": (width, width), "attention.self.key": (width, width),
             "attention.self.value": (width, width), "attention.output.dense": (width, width),
             "intermediate.dense": (hidden, width), "output.dense": (width, hidden)}  # fmt: skip
    norms = ["embeddings.LayerNorm"]
    for layer in range(config["num_hidden_layers"]):
        for name, shape in dense.items():
            shapes[f"encoder.layer.{layer}.{name}.weight"] = shape
            shapes[f"encoder.layer.{layer}.{name}.bias"] = shape[:1]
        norms += [f"encoder.layer.{layer}.{name}.LayerNorm" for name in ("attention.output", "output")]
    shapes |= {f"{name}.{leaf}": (width,) for name in norms for leaf in ("weight", "bias")}
    shapes["pooler.dense.weight"] = (width, width)
    made = {name: torch.randn(shape, generator=draws) / 3 for name, shape in shapes.items()}
    made["embeddings.word_embeddings.weight"] *= 6  # so that words are heard through two blocks of noise
    return {name: tensor + ("Norm.weight" in name) for name, tensor in made.items()}


ENCODER_TEXTS = [
    "moss grows on the old stone",
    "",
    "Wet bark!",
    "rain rain " * 30,
    "lichen <s> the [SEP] moss",
]
"""Of different lengths, one longer than what is read, one that spells special tokens."""


def encoder_tokenizer(kind: str, folder: Path) -> None:
    """A tokenizer as models of a kind have it: WordPiece, byte pairs or pieces, and what is around texts."""
    import tokenizers
    from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

    if kind in ("roberta", "mpnet"):
        made, apart = tokenizers.Tokenizer(models.BPE()), ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(vocab_size=290, special_tokens=apart, show_progress=False,
                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    elif kind in ("xlm-roberta", "camembert"):
        made = tokenizers.Tokenizer(models.Unigram())
        apart = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=60, special_tokens=apart, unk_token="<unk>",
                                          show_progress=False)  # fmt: skip
    elif kind == "modernbert":  # its special tokens come last, and number 0 says something
        made, apart = tokenizers.Tokenizer(models.BPE()), []
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(vocab_size=285, show_progress=False,
                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    else:
        made = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        apart = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=80, special_tokens=apart, show_progress=False)
    made.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    if kind == "modernbert":
        apart = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
        made.add_special_tokens(apart)
    first, pad, last = ("<s>", "<pad>", "</s>") if "<s>" in apart else ("[CLS]", "[PAD]", "[SEP]")
    bounds = [(word, made.token_to_id(word)) for word in (first, last)]
    if kind == "roberta":
        made.post_processor = processors.RobertaProcessing(bounds[1], bounds[0], add_prefix_space=False)
    else:
        made.post_processor = processors.TemplateProcessing(
            single=f"{first} $A {last}", special_tokens=bounds
        )
    made.save(str(folder / "tokenizer.json"))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": pad, "cls_token": first,
             "sep_token": last, "model_max_length": 20}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(about))


ENCODER_SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40,
    "max_position_embeddings": 24,
}  # fmt: skip


def encoder_folder(kind: str, folder: Path, pooling: str = "mean_tokens", like: str = "", **change):
    """A folder with a small encoder of transformers as sentence-transformers saves it; the library's model.

    Args:
        pooling: the mode, as `1_Pooling/config.json` says it. like: the part of transformers that makes it.
    """
    import transformers

    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({f"pooling_mode_{pooling}": True}))
    encoder_tokenizer(kind, folder)
    teller = transformers.AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **{
        **ENCODER_SIZES, "vocab_size": len(teller), "pad_token_id": teller.pad_token_id, **change,
    })  # fmt: skip
    made = getattr(transformers, like or "AutoModel").from_config(config).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    made.save_pretrained(folder, safe_serialization=True)
    return made


@torch.no_grad()
def encoded_by_transformers(folder: Path, texts, pooling: str = "mean_tokens") -> np.ndarray:
    """(N, D) of length 1: AutoTokenizer, AutoModel, and the rule that sentence-transformers publishes."""
    import transformers

    teller = transformers.AutoTokenizer.from_pretrained(folder)
    net = transformers.AutoModel.from_pretrained(folder).eval()
    given = teller(list(texts), truncation=True, padding=True, return_tensors="pt")
    given = {name: given[name] for name in ("input_ids", "attention_mask")}
    said, mask = net(**given).last_hidden_state, given["attention_mask"][..., None]
    if pooling == "cls_token":
        found = said[:, 0]
    elif pooling == "lasttoken":
        found = said[torch.arange(len(said)), mask.sum((1, 2)) - 1]
    elif pooling == "max_tokens":
        found = said.masked_fill(mask == 0, -1e9).amax(1)
    else:
        found = (said * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(found, dim=-1).numpy()


LABELLED = {"dry": ["stone", "bark", "old"], "damp": ["rain", "moss", "wet"]}


def labelled(num_rows=200):
    """Short texts of different lengths, of two kinds that words tell apart."""
    draws = np.random.default_rng(0)
    labels = draws.choice(list(LABELLED), num_rows)
    rows = [" ".join(draws.choice(LABELLED[label], 5)) for label in labels]
    return li.texts([text + " the" * (row % 5) for row, text in enumerate(rows)], labels, duplicates="drop")
