#!/usr/bin/env python3
"""Writes testing/golden/tiny-NAME.gguf and logits-tiny-NAME.json for families whose real models are too large to test
with: tiny random models of `transformers`, and what `transformers` answers with them in float32.

The references share nothing with this project: the model is transformers' own, the file is written from it by
llama.cpp's converter. The weights are random numbers that bfloat16 holds exactly, so the file (BF16) and the model are
the same; only the order of float32 sums is left to differ.

    tools/golden/make_logits_golden.py      says how to make the environment
    ORACLE/python tools/golden/make_tiny_golden.py PATH/TO/llama.cpp [NAME...]

llama.cpp: its source tree (convert_hf_to_gguf.py and gguf-py); b11434 was used. The format of the answers is that of
make_logits_golden.py.
"""
import hashlib
import json
import pathlib
import platform
import subprocess
import sys
import tempfile

import tokenizers
import torch
import transformers

import make_logits_golden as golden

ROOT = pathlib.Path(__file__).resolve().parents[2]
VOCABULARY = 272
COMMON = dict(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
              num_key_value_heads=2, max_position_embeddings=1024, rms_norm_eps=1e-6, initializer_range=0.25,
              bos_token_id=258, eos_token_id=259, pad_token_id=260, attn_implementation="eager",
              rope_parameters={"rope_type": "default", "rope_theta": 1e6})
MODELS = {
    "qwen2": lambda: transformers.Qwen2ForCausalLM(transformers.Qwen2Config(
        **COMMON | {"num_attention_heads": 2, "num_key_value_heads": 1}, tie_word_embeddings=True)),
    # Heads wider than the embedding divided by their number, as in the real ones.
    "qwen3": lambda: transformers.Qwen3ForCausalLM(transformers.Qwen3Config(
        **COMMON, head_dim=16, tie_word_embeddings=True)),
    "qwen3moe": lambda: transformers.Qwen3MoeForCausalLM(transformers.Qwen3MoeConfig(
        **COMMON, head_dim=16, tie_word_embeddings=False, num_experts=7, num_experts_per_tok=3,
        moe_intermediate_size=32, norm_topk_prob=True, decoder_sparse_step=1)),
}
# Tokens in a prompt; of the short ones every position is written.
LENGTHS = [1, 12, 31, 130, 520]

# Runs the converter as a program, with the one question answered that a made-up tokenizer cannot: which
# pre-tokenizer its hash stands for.
CONVERT = """
import sys
tree = sys.argv.pop(1)
sys.path[:0] = [tree + "/gguf-py", tree]
import conversion.base
conversion.base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "qwen2"
import convert_hf_to_gguf
convert_hf_to_gguf.main()
"""


def make_model(name):
    torch.manual_seed(1)
    model = MODELS[name]().float().eval()
    with torch.no_grad():
        for key, value in model.named_parameters():
            if key.endswith("bias"):
                value.normal_(0, 0.5)
            elif value.dim() == 1:
                value.normal_(1, 0.2)
            value.copy_(value.bfloat16().float())
    return model


def save_tokenizer(folder):
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {text: i for i, text in enumerate(letters + ["th", "in"])}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[("t", "h"), ("i", "n")]))
    made.add_special_tokens(["<s>", "</s>", "<pad>"])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="<pad>").save_pretrained(folder)


def convert(tree, model, path):
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        save_tokenizer(folder)
        subprocess.run([sys.executable, "-c", CONVERT, tree, folder, "--outtype", "bf16", "--outfile", str(path)],
                       check=True)


def main():
    tree, *names = sys.argv[1:]
    torch.set_num_threads(1)
    for name in names or MODELS:
        model = make_model(name)
        path = ROOT / f"testing/golden/tiny-{name}.gguf"
        convert(tree, model, path)
        prompts = []
        for length in LENGTHS:
            ids = [(i * i * 7 + i * 37 + length) % 256 for i in range(length)]
            chosen = range(length) if length < 64 else [p for p in golden.CHOSEN if p < length] + [length - 1]
            at = [golden.describe(p, row) for p, row in golden.log_probabilities(model, ids, chosen)]
            prompts.append({"ids": ids, "at": at, "greedy": golden.continue_greedily(model, ids)})
        golden.write(ROOT / f"testing/golden/logits-tiny-{name}.json", {
            "made_by": "tools/golden/make_tiny_golden.py",
            "with": f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}, "
                    f"llama.cpp b11434's converter, float32, {platform.machine()}",
            "model": f"tiny {name}",
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }, prompts)


if __name__ == "__main__":
    main()
