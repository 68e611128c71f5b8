"""Writes data/sentence_piece.json: ids that the `sentencepiece` package gives to texts with data/llama_tokenizer.model."""

import json
import random
from pathlib import Path

import sentencepiece

DATA = Path(__file__).parent / "data"
TEXTS = [
    "",
    " ",
    "  two  spaces  ",
    "\n\t\r\n",
    "### Human: <Img>",
    "<s></s><unk><0x0A>",
    "▁a ▁ b▁",
    "日本語 中文 한국어",
    "🙂👩‍🚀 e\u0301 é ﬁ",
    "\u0000\u0001\u007f\u00a0\u200b\ufeff\ufffd",
    "for i in range(10):\n    print(i ** 2)  # comment",
]


def character(random):
    kind = random.random()
    if kind < 0.6:
        return chr(random.randrange(32, 127))
    if kind < 0.7:
        return random.choice(" \n\t▁")
    if kind < 0.85:
        return chr(random.randrange(0xA0, 0x600))
    code = random.randrange(0x600, 0x1FFFF)
    return "x" if 0xD800 <= code < 0xE000 else chr(code)


def main():
    processor = sentencepiece.SentencePieceProcessor(model_file=str(DATA / "llama_tokenizer.model"))
    draw = random.Random(7)
    words = [processor.id_to_piece(index) for index in range(259, processor.vocab_size())]
    texts = list(TEXTS)
    texts += ["".join(character(draw) for _ in range(draw.randrange(1, 24))) for _ in range(150)]
    texts += ["".join(draw.choice(words) for _ in range(draw.randrange(1, 10))).replace("▁", " ") for _ in range(150)]
    cases = [{"text": text, "ids": processor.encode(text)} for text in texts]
    (DATA / "sentence_piece.json").write_text(json.dumps(cases, ensure_ascii=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
