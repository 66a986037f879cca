"""paired: small encoder-decoders of transformers in folders, and what that library tells by them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from languages import WORDS
from translations import sentences

FORMS = {
    "t5": {"d_kv": 8, "d_ff": 40, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0,
           "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "tied": {"d_kv": 8, "d_ff": 40, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0},
    "marian": {}, "bart": {},
}  # fmt: skip
APART = {"t5": ["<pad>", "</s>", "<unk>"], "marian": ["</s>", "<unk>"],
         "bart": ["<s>", "<pad>", "</s>", "<unk>"]}  # fmt: skip
SOURCES = [*sentences(10, seed=1), " ".join(WORDS), "stone " * 30]
"""The last are longer than what is read."""


def type_of(form):
    return {"tied": "t5"}.get(form, form)


def backward(text):
    """What the models learn to tell."""
    return " ".join(reversed(text.split()))


def paired_folder(form, folder: Path, num_steps=60, **change):
    """A folder with a small encoder-decoder that transformers trained a little.

    Args:
        change: of its configuration.
    """
    import transformers

    folder.mkdir(parents=True)
    made = teller_of(type_of(form))
    number = made.token_to_id
    made.save(str(folder / "tokenizer.json"))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "eos_token": "</s>",
             "model_max_length": 20}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    torch.manual_seed(0)
    sizes = {
        "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 40, "decoder_ffn_dim": 40,
        "decoder_start_token_id": number("</s>" if form == "bart" else "<pad>"),
        "max_position_embeddings": 64,
        "forced_eos_token_id": None, "forced_bos_token_id": None, "vocab_size": made.get_vocab_size(),
        "pad_token_id": number("<pad>"), "eos_token_id": number("</s>"), "bos_token_id": number("<s>"),
    }  # fmt: skip
    config = transformers.AutoConfig.for_model(type_of(form), **{**sizes, **FORMS[form], **change})
    net = transformers.AutoModelForSeq2SeqLM.from_config(config).train()
    texts, learning = sentences(64), torch.optim.AdamW(net.parameters(), 0.01)
    for step in range(num_steps):
        batch = asked_of(made, texts[step * 8 % 64 :][:8])
        net(**batch).loss.backward()
        learning.step()
        learning.zero_grad()
    net.save_pretrained(folder)
    return net.eval()


def teller_of(kind):
    """A tokenizer of subwords as such models have one, with what it puts around a text."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, processors, trainers

    if kind == "bart":
        made = tokenizers.Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=290, special_tokens=APART[kind], show_progress=False,
                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
        made.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    else:
        pieces = [(word, 0.0) for word in APART[kind]]
        pieces += [("\u2581", -3.0), *((f"\u2581{word}", -2.0) for word in WORDS[::2])]
        pieces += [(letter, -4.0) for letter in sorted(set("".join(WORDS)))]
        made = tokenizers.Tokenizer(models.Unigram(pieces, unk_id=APART[kind].index("<unk>")))
        made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        made.add_special_tokens(APART[kind])
    if kind == "marian":
        made.add_special_tokens(["<pad>"])  # its last number, from which targets begin
    words = ["<s>", "</s>"] if kind == "bart" else ["</s>"]
    bounds = [(word, made.token_to_id(word)) for word in words]
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>" if kind == "bart" else "$A </s>", special_tokens=bounds
    )
    return made


def asked_of(teller, sources):
    """What the library's model is told to say the loss of sources and of their targets."""
    opening = teller.token_to_id("<s>")
    read = [teller.encode(text).ids for text in sources]
    told = [teller.encode(backward(text)).ids[opening is not None :] for text in sources]
    width = [max(map(len, side)) for side in (read, told)]
    pad = teller.token_to_id("<pad>")
    return {
        "input_ids": torch.tensor([one + [pad] * (width[0] - len(one)) for one in read]),
        "attention_mask": torch.tensor([[1] * len(one) + [0] * (width[0] - len(one)) for one in read]),
        "labels": torch.tensor([one + [-100] * (width[1] - len(one)) for one in told]),
    }


@torch.no_grad()
def told_by_transformers(folder: Path, texts, num_beams, most):
    """What AutoTokenizer and `generate` tell of each text alone, and the log-probability of that.

    Scores favour no length, and what fills texts up is never told.

    Args:
        most: tokens of each target at most.
    """
    teller, net = opened(folder)
    found = []
    for text, length in zip(texts, most, strict=True):
        given = teller(text, truncation=True, return_tensors="pt")
        said = net.generate(
            input_ids=given["input_ids"], attention_mask=given["attention_mask"], num_beams=num_beams,
            do_sample=False, max_new_tokens=length, early_stopping=False,
            bad_words_ids=[[teller.pad_token_id]], **({"length_penalty": 0.0} if num_beams > 1 else {}),
        )[0]  # fmt: skip
        told = teller.decode(said, skip_special_tokens=True)
        found.append((told, chance_by_transformers(teller, net, text, said[:1].tolist(), said[1:].tolist())))
    return found


def opened(folder: Path):
    """Tokenizer and model of a folder, as transformers opens them."""
    import transformers

    net = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
    return transformers.AutoTokenizer.from_pretrained(folder), net.eval()


@torch.no_grad()
def chance_by_transformers(teller, net, text, first, told):
    """The log-probability of tokens behind those that begin a target."""
    given = teller(text, truncation=True, return_tensors="pt")
    logits = net(
        input_ids=given["input_ids"], attention_mask=given["attention_mask"],
        decoder_input_ids=torch.tensor([[*first, *told[:-1]]]),
    ).logits[0, len(first) - 1 :]  # fmt: skip
    return float(torch.log_softmax(logits.double(), -1)[range(len(told)), told].sum())
