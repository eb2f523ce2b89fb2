"""WordPiece as BERT's uncased vocabularies want it: text to numbers of words. Wu et al. 2016; Devlin et al. 2019."""

import unicodedata


def _is_punctuation(char):
    code = ord(char)
    ascii_sign = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return ascii_sign or unicodedata.category(char).startswith("P")


def _is_chinese(char):
    code = ord(char)
    return 0x4E00 <= code <= 0x9FFF or 0x3400 <= code <= 0x4DBF or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x2FA1F


class Tokenizer:
    """Numbers of [CLS], the pieces of a text, and [SEP]."""

    def __init__(self, vocabulary):
        with open(vocabulary, encoding="utf-8") as file:
            self.numbers = {line.rstrip("\n"): i for i, line in enumerate(file)}

    def words(self, text):
        text = unicodedata.normalize("NFD", text.lower())
        word = ""
        for char in text + " ":
            category = unicodedata.category(char)
            if category == "Mn" or (category.startswith("C") and char not in "\t\n\r"):
                continue
            alone = _is_punctuation(char) or _is_chinese(char)
            if not alone and not char.isspace():
                word += char
                continue
            if word:
                yield word
            if alone:
                yield char
            word = ""

    def pieces(self, word):
        found, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = ("##" if start else "") + word[start:end]
                if piece in self.numbers:
                    found.append(self.numbers[piece])
                    start = end
                    break
            else:
                return [self.numbers["[UNK]"]]
        return found

    def __call__(self, text, most=256):
        numbers = [n for word in self.words(text) for n in (self.pieces(word) if len(word) <= 100 else [self.numbers["[UNK]"]])]
        return [self.numbers["[CLS]"], *numbers[:most - 2], self.numbers["[SEP]"]]
