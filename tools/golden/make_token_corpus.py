#!/usr/bin/env python3
"""Makes testing/corpus/tokens.b64: 2,600 lines of text (one base64 line each) on which tokenizers are compared.

Usage: make_token_corpus.py > testing/corpus/tokens.b64

Everything is made here, from word lists of our own and a fixed seed: ordinary English, Japanese, Chinese and other
scripts, code, emoji, broken UTF-8, white space, digits, contractions, text that looks like special tokens.
"""
import base64
import random

R = random.Random(20240607)

EN = """the a one lamp keeper sees no ship tonight and writes it down beacon fog horn tide chart under northern
lights we count waves before dawn because harbour towns sleep late their clocks disagree with ours it's don't we'll
they've I'm he'd she's can't won't you're O'Neill's rock'n'roll Dr. Smith etc. e.g. U.S.A. e-mail re-read co-operate
naïve café façade Zoë coöperate résumé jalapeño Straße Ångström unhappiness internationalisation antidisestablishmentarianism
quickly brown river stones between although therefore perhaps mathematics engine tokens memory""".split()
EN_CAPS = ["THE", "DON'T", "WE'LL", "I'M", "IT'S", "YOU'RE", "They'Ve", "HE'D", "NASA", "iPhone", "McDonald's", "LaTeX"]
JA = """灯台 守 は 夜 の 海 を 見て いる 船 が 来ない 朝 まで 波 数える 霧 笛 です ます でした。 、 東京 へ 行く カタカナ ひらがな 漢字
コンピューター 「 」 ありがとう ございます ー 〜 ・ 食べられなかった 株式会社 ㍿ ｶﾀｶﾅ １２３ 年 月 日""".split()
ZH = """灯塔 看守 人 今晚 没有 船 雾 很 大 我们 数 着 波浪 ， 。 ！ ？ 《 》 北京 上海 机器 学习 语言 模型 的 是 在 了 不 和 有 這 個 國 語言 學習 龍
龘 㐀 𠀀 𪚥 ２０２４ 年""".split()
OTHER = """маяк ночью молчит корабль Ёлка їжак ћевапи φάρος νύχτα θάλασσα ςσ مرحبا السفينة لا تأتي الليلة ‏نص‏ שלום ספינה עברית
नमस्ते दुनिया क्षत्रिय हिन्दी জাহাজ বাংলা கப்பல் தமிழ் เรือ กลางคืน ประภาคาร 등대 안녕하세요 한국어 ᄒᆞᆫ ເຮືອ သင်္ဘော កប៉ាល់ ნავი მნათე նավ
መርከብ ᏣᎳᎩ ᓄᓇᕗᑦ ᚠᚢᚦ 𐍈𐌰 𐎀𐎁 𓀀𓁐 𝔘𝔫𝔦 𝒳𝟘𝟙 ꙮ ﷽ ﬁn ǅ ʰ ª º ⅷ Ⅻ ½ ¾ ² ⁵ ₃ ① ⑳ ㉈ ٣٤٥ ४२ ๑๒ 𞥐 𑁦 ༠ ፩፪ ᛮ 〇 𒐀 ꠰ 𐄇""".split()
EMOJI = """😀 🎉 👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇫🇷 🇯🇵 ❤️ ☃ ✈️ 1️⃣ 🫠 🤷‍♂️ 🧑🏿‍🚀 ©️ ™ ♥︎ 🀄 🃏 🔟 ➡️ ⁉️ 🫱🏻‍🫲🏿""".split()
CODE = [
    "def f(x, *, y=None):\n    return x + 1  # done\n", "for (int i = 0; i < n; ++i) {\n\tsum += a[i];\n}\n",
    "SELECT * FROM t WHERE a >= 10 AND b <> 'x';", "<div class=\"a\">&nbsp;text</div>\n<br/>\n", "#include <vector>\r\n\r\n",
    "std::vector<std::pair<int,int>> v{{1,2},{3,4}};", "x = {\"a\": [1, 2.5e-3, null], 'b': True}", "if __name__ == '__main__':\n        main()\n\n\n",
    "fn main() -> Result<(), Box<dyn Error>> { Ok(()) }", "a&&b||!c ?? d?.e ?: f => g", "/* comment */ // another\n", "$HOME/.config && echo \"$PATH\" | grep -v '^#'",
    "https://example.org/a/b?c=d&e=%20f#g", "user@example.org", "0xDEADBEEF 0b1010 1_000_000 3.14159 -273.15 6.02e23", "\\frac{1}{2} \\alpha_{i}^{2}",
    "let s = `${a} + ${b}`;", "@decorator\nclass A(B):\n    '''doc'''\n    pass\n", "|a|b|\n|---|---|\n|1|2|\n", "- item\n  - sub\n    - subsub\n1. one\n",
]
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<s>", "</s>", "<bos>", "<eos>", "<unk>", "<pad>", "<mask>", "[INST]",
           "[/INST]", "<|eot_id|>", "<|begin_of_text|>", "<start_of_turn>", "<end_of_turn>", "<unused0>", "<unused99>", "[multimodal]",
           "<table>", "<h1>", "</h1>", "<0x0A>", "<0xFF>", "<|im_", "im_end|>", "<|im_end|", "<start_of_image>", "<repo_name>", "<file_sep>",
           "<empty_output>", "<|", "|>", "<｜end▁of▁sentence｜>", "▁", "▁▁", "Ġ", "Ċ", "ĠĠ"]
SPACE = [" ", "  ", "   ", "    ", "\t", "\t\t", "\n", "\n\n", "\n\n\n", "\r\n", "\r", " \n", "\n ", "\t \n", "\v", "\f", "\u00a0", "\u3000",
         "\u2003", "\u2028", "\u2029", "\u0085", "\u200b", "\ufeff", "\u1680", "\u202f", "\u205f", "\u180e", "\x1c", "\x00", "\x7f"]
BROKEN = [b"\x80", b"\xbf", b"\xc0\x80", b"\xc0\xaf", b"\xc1\xbf", b"\xc2", b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xe2\x82", b"\xe2", b"\xed\xa0\x80",
          b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80", b"\xf0\x80\x80\x80", b"\xf0\x9f\x98", b"\xf0\x9f", b"\xf0", b"\xf4\x8f\xbf\xbf", b"\xf8", b"\xfc",
          b"\xfe", b"\xff", b"\xff\xfe", b"\xe4\xbd", b"\xe4\xbd\xe5\xa5\xbd", b"\x81\x82\x83", b"\xc3\x28", b"\xa0\xa1", b"\xe2\x28\xa1", b"\xf0\x28\x8c\xbc"]


def words(pool, low, high, separator=" "):
    return separator.join(R.choice(pool) for _ in range(R.randint(low, high)))


def english():
    s = words(EN, 4, 12)
    s = s[0].upper() + s[1:] + R.choice([".", "!", "?", "...", " —", ";", ":)", "", "'"])
    return R.choice(["", "", "", " ", '"', "("]) + s


def numbers():
    parts = ["%d" % R.randint(0, 10 ** R.randint(1, 14)) for _ in range(R.randint(1, 4))]
    return R.choice([" ", ",", ".", "-", "", "  ", "/", ":"]).join(parts) + R.choice(["", "%", " km", "th", "°C", "€"])


def contractions():
    return words(EN_CAPS + ["it's", "'s", "'S", "'T", "'re", "'RE", "'ll'", "''ll", "x'd", "'ſ", "'m'm", " 's", "1's", "。's"], 3, 8)


def spaces():
    out = ""
    for _ in range(R.randint(2, 7)):
        out += R.choice(["a", "Word", "7", ".", "é", "灯", "😀", "", "'s", "_", "("]) + "".join(R.choice(SPACE) for _ in range(R.randint(1, 3)))
    return out


def repeats():
    return R.choice(["a", " ", "\n", "\t", "=", "-", "é", "あ", "😀", "ab", "0", "12", "\r\n", " \n", "'", "▁", "哈"]) * R.randint(2, 60)


def anything():
    """Assigned and unassigned code points from everywhere."""
    out = ""
    for _ in range(R.randint(3, 14)):
        top = R.choice([0x80, 0x250, 0x600, 0x1000, 0x2100, 0x3000, 0x10000, 0x20000, 0x110000])
        c = R.randrange(top)
        out += "?" if 0xD800 <= c < 0xE000 else chr(c)
        out += R.choice(["", "", " "])
    return out


def special():
    out = ""
    for _ in range(R.randint(1, 5)):
        out += R.choice(SPECIAL) + R.choice(["", "", " ", "\n", "user", "x"])
    return out


def broken():
    out = b""
    for _ in range(R.randint(1, 6)):
        out += R.choice(BROKEN) + R.choice([b"", b"a", b" ", b"\n", "é灯".encode(), b"it's", b"1", b"<|im_end|>"])
    return out


def mixed():
    makers = [lambda: words(EN, 1, 3), lambda: words(JA, 1, 3, ""), lambda: words(ZH, 1, 3, ""), lambda: R.choice(OTHER), lambda: R.choice(EMOJI),
              numbers, lambda: R.choice(SPACE), lambda: R.choice(SPECIAL), lambda: R.choice(CODE)]
    return "".join(R.choice(makers)() for _ in range(R.randint(2, 4)))


KINDS = [(english, 500), (lambda: words(JA, 4, 14, ""), 250), (lambda: words(ZH, 4, 14, ""), 250), (lambda: words(OTHER, 2, 8), 200),
         (lambda: R.choice(CODE) + R.choice(["", R.choice(CODE)]), 150), (lambda: words(EMOJI, 1, 5, R.choice(["", " "])), 100), (numbers, 150),
         (contractions, 100), (spaces, 200), (repeats, 80), (anything, 150), (special, 120), (broken, 200), (mixed, 150)]


def main():
    lines = []
    for make, count in KINDS:
        for _ in range(count):
            s = make()
            lines.append(s if isinstance(s, bytes) else s.encode("utf-8"))
    R.shuffle(lines)
    for line in lines:
        print(base64.b64encode(line).decode())


main()
