"""How to address somebody by a full name as shops store it."""

import unicodedata


def first_name(name: str, locale: str) -> str:
    """
    The given name in a full name, empty where it cannot be told.

    Chinese names put the family name first and the given name is not used alone between strangers, so the whole name
    is kept. Elsewhere the first word is taken, unless it is an initial or has a digit.
    """
    words = name.split()
    if not words or any(character.isdigit() for character in name):
        return ""
    if locale.startswith("zh") or any("CJK" in unicodedata.name(character, "") for character in words[0]):
        return name.strip()
    return words[0] if len(words[0].rstrip(".")) > 1 else ""
