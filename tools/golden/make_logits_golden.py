#!/usr/bin/env python3
"""Writes testing/golden/logits-NAME.json: what `transformers` answers, in float32, on a dequantised GGUF file.

The reference shares nothing with this project: the weights are dequantised by the PyPI package gguf, the model is
transformers' own, the token ids are made by transformers' own tokenizer from the vocabulary in the file.

Make an environment once (the CPU build of torch is enough), then run from the root of the checkout:

    python3 -m venv oracle
    oracle/bin/pip install gguf==0.19.0 transformers==5.24.0 torch==2.15.0 sentencepiece==0.2.3 protobuf
    oracle/bin/python tools/golden/make_logits_golden.py smollm2 PATH/smollm2-135m-instruct-q4_1.gguf
    oracle/bin/python tools/golden/make_logits_golden.py gemma3 PATH/gemma3-270m-q4_k_m.gguf

qwen2 takes any Qwen 2 or 2.5 file, for a comparison that is not checked in (--out FILE; CRESSET_GOLDEN_QWEN2=MODEL
makes engine_test compare with it). With --every-position --out FILE it writes all positions of all prompts (tens of megabytes, not checked in);
CRESSET_GOLDEN_DIR=DIR makes engine_test read such files instead of the small ones.

In the file: per prompt its token ids; `at`: [position, [[id, log-probability] x 20], mass of the rest]; `greedy`:
[id, margin] x 32, the continuation that the reference takes and by how much (in log-probability) it prefers each
token to the second one.
"""
import argparse
import hashlib
import json
import pathlib
import platform

import gguf
import numpy
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOP = 20
GREEDY = 32
# Positions of a long prompt that are written: the borders of pages, of chunks of attention and of the window of 512.
CHOSEN = [0, 1, 7, 31, 63, 64, 127, 255, 256, 448, 510, 511, 512, 513, 575, 576]

PROMPTS = [
    "The",
    "Hello, how are you?",
    "The capital of France is",
    "Once upon a time there was a small dragon who could not breathe fire, and",
    "2 + 2 = 4\n3 + 5 = 8\n7 + 6 =",
    "Monday, Tuesday, Wednesday,",
    "Q: Why is the sky blue?\nA:",
    "To be fair to everyone, the rules of the game are simple. First,",
    "the the the the the the the the the the the the",
    "PRICE LIST\n\nApples   1.20\nPears    1.45\nPlums",
    "   leading spaces\tand tabs,\n\n\nand blank lines   ",
    "🙂 emoji, café, naïve, Zürich, ½ and ∑ in one line",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "SELECT name, COUNT(*) FROM orders\nWHERE year = 2024\nGROUP BY",
    '{"name": "Ada", "born": 1815, "languages": ["English",',
    "for (size_t i = 0; i < values.size(); ++i) {\n  total +=",
    "<html>\n<head><title>A page</title></head>\n<body>\n<h1>",
    "日本の首都は",
    "吾輩は散歩が好きである。毎朝、",
    "こんにちは。今日の天気は",
    "中国的首都是",
    "春天来了，公园里的花都开了。孩子们",
    "请用一句话介绍你自己：",
]
# (section of testing/corpus/prose.txt, first character, tokens): pieces of long text.
PIECES = [
    ("english", 0, 64), ("english", 1200, 65), ("english", 2400, 200), ("english", 3300, 513), ("english", 0, 600),
    ("japanese", 0, 160), ("chinese", 0, 160), ("code", 0, 260),
]


def sections():
    out, name = {}, None
    for line in (ROOT / "testing/corpus/prose.txt").read_text(encoding="utf-8").splitlines(keepends=True):
        if line.startswith("=== "):
            name = line[4:].strip()
            out[name] = ""
        else:
            out[name] += line
    return out


class File:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.reader = gguf.GGUFReader(path)
        self.tensors = {t.name: t for t in self.reader.tensors}

    def value(self, key, default=None):
        field = self.reader.get_field(key)
        return default if field is None else field.contents()

    def weight(self, name):
        t = self.tensors[name]
        flat = gguf.quants.dequantize(t.data, t.tensor_type)
        return torch.from_numpy(numpy.array(flat, dtype=numpy.float32)).reshape(*[int(n) for n in reversed(t.shape)])


def unpermute(weight, heads):
    """llama files hold Q and K with the rows of each head reordered for rotation of adjacent pairs; transformers
    rotates halves."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)


def load(file):
    arch = file.value("general.architecture")
    get = lambda key, default=None: file.value(f"{arch}.{key}", default)
    vocabulary, width = file.weight("token_embd.weight").shape
    heads, kv_heads = get("attention.head_count"), get("attention.head_count_kv")
    common = dict(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=get("feed_forward_length"),
        num_hidden_layers=get("block_count"), num_attention_heads=heads, num_key_value_heads=kv_heads,
        max_position_embeddings=get("context_length"), rms_norm_eps=get("attention.layer_norm_rms_epsilon"),
        tie_word_embeddings=True, attn_implementation="eager")
    norms = {"attn_norm": "input_layernorm"}
    if arch == "llama":
        config = transformers.LlamaConfig(**common, rope_parameters={"rope_type": "default", "rope_theta": get("rope.freq_base")})
        make = transformers.LlamaForCausalLM
        norms |= {"ffn_norm": "post_attention_layernorm"}
        added = 0.0
    elif arch == "qwen2":
        config = transformers.Qwen2Config(**common, rope_parameters={"rope_type": "default", "rope_theta": get("rope.freq_base")})
        make = transformers.Qwen2ForCausalLM
        norms |= {"ffn_norm": "post_attention_layernorm"}
        added = 0.0
    else:
        layers = get("block_count")
        config = transformers.Gemma3TextConfig(
            **common, head_dim=get("attention.key_length"), query_pre_attn_scalar=get("attention.key_length"),
            sliding_window=get("attention.sliding_window"), hidden_activation="gelu_pytorch_tanh",
            layer_types=["full_attention" if i % 6 == 5 else "sliding_attention" for i in range(layers)],
            rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": get("rope.freq_base")},
                             "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}})
        make = transformers.Gemma3ForCausalLM
        norms |= {"ffn_norm": "pre_feedforward_layernorm", "post_attention_norm": "post_attention_layernorm",
                  "post_ffw_norm": "post_feedforward_layernorm", "attn_q_norm": "self_attn.q_norm",
                  "attn_k_norm": "self_attn.k_norm"}
        added = 1.0  # the file's norms hold 1 + weight
    matrices = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
                "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
                "ffn_down": "mlp.down_proj"}
    state = {"model.embed_tokens.weight": file.weight("token_embd.weight"),
             "model.norm.weight": file.weight("output_norm.weight") - added}
    used = {"token_embd.weight", "output_norm.weight"}
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    if "output.weight" in file.tensors:
        used.add("output.weight")
        state["lm_head.weight"] = file.weight("output.weight")
        config.tie_word_embeddings = False
    for i in range(get("block_count")):
        for ours, theirs in (matrices | norms).items():
            name = f"blk.{i}.{ours}.weight"
            used.add(name)
            weight = file.weight(name)
            if ours in norms:
                weight = weight - added
            elif arch == "llama" and ours in ("attn_q", "attn_k"):
                weight = unpermute(weight, heads if ours == "attn_q" else kv_heads)
            state[f"model.layers.{i}.{theirs}.weight"] = weight
        for ours in ("attn_q", "attn_k", "attn_v") if arch == "qwen2" else ():
            used.add(f"blk.{i}.{ours}.bias")
            state[f"model.layers.{i}.{matrices[ours]}.bias"] = file.weight(f"blk.{i}.{ours}.bias")
    assert used == set(file.tensors), set(file.tensors) ^ used
    model = make(config).float().eval()
    model.load_state_dict(state, strict=True)
    return model


def log_probabilities(model, ids, positions):
    """In double from float32 logits, one position after another, so that a large vocabulary fits in memory."""
    with torch.no_grad():
        hidden = model.model(torch.tensor([ids])).last_hidden_state[0]
        for position in sorted(positions):
            yield position, torch.log_softmax(model.lm_head(hidden[position]).double(), -1)


def describe(position, row):
    values, ids = row.topk(TOP)
    rest = max(0.0, 1.0 - float(values.exp().sum()))
    return [position, [[int(i), round(float(v), 5)] for i, v in zip(ids, values)], float(f"{rest:.6g}")]


def continue_greedily(model, ids):
    out, cache = [], None
    step = torch.tensor([ids])
    with torch.no_grad():
        for _ in range(GREEDY):
            answer = model(step, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache = answer.past_key_values
            values, best = torch.log_softmax(answer.logits[0, -1].double(), -1).topk(2)
            out.append([int(best[0]), round(float(values[0] - values[1]), 5)])
            step = best[:1].reshape(1, 1)
    return out


def write(path, head, prompts):
    lines = ",\n".join("  " + json.dumps(prompt, separators=(",", ":")) for prompt in prompts)
    top = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in head.items())
    path.write_text("{\n" + top + ',\n "prompts": [\n' + lines + "\n ]\n}\n", encoding="utf-8")
    print(f"{path}: {path.stat().st_size} bytes")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=["smollm2", "gemma3", "qwen2"])
    parser.add_argument("file")
    parser.add_argument("--every-position", action="store_true")
    parser.add_argument("--out")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    file = File(arguments.file)
    model = load(file)
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(file.path.parent), gguf_file=file.path.name)
    bos = [file.value("tokenizer.ggml.bos_token_id")] if file.value("tokenizer.ggml.add_bos_token") else []
    encode = lambda text: bos + tokenizer(text, add_special_tokens=False)["input_ids"]
    texts = sections()
    prompts = [encode(text) for text in PROMPTS] + [encode(texts[s][at:])[:count] for s, at, count in PIECES]
    if bos:
        prompts.insert(0, bos)
    out = []
    for ids in prompts:
        chosen = {p for p in CHOSEN if p < len(ids) and len(ids) >= 64} | {len(ids) - 1}
        if arguments.every_position:
            chosen = set(range(len(ids)))
        at = [describe(p, row) for p, row in log_probabilities(model, ids, chosen)]
        out.append({"ids": ids, "at": at, "greedy": continue_greedily(model, ids)})
        print(f"{len(out)}/{len(prompts)}: {len(ids)} tokens -> {tokenizer.decode([i for i, _ in out[-1]['greedy'][:12]])!r}", flush=True)
    head = {
        "made_by": "tools/golden/make_logits_golden.py",
        "with": f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}, gguf 0.19.0, float32, {platform.machine()}",
        "model": file.value("general.name"),
        "sha256": hashlib.sha256(file.path.read_bytes()).hexdigest(),
    }
    write(pathlib.Path(arguments.out or ROOT / f"testing/golden/logits-{arguments.name}.json"), head, out)


if __name__ == "__main__":
    main()
