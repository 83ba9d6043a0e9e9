"""The few pages people see, in English and Chinese, as plain HTML without scripts."""

import base64
import hashlib
from collections.abc import Mapping
from html import escape

from perennial.flows.listening import MAX_COMMENT
from perennial.web.words import WORDS, Words

LOCALES = tuple(WORDS)
_STYLE = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:12vh auto 4rem;padding:0 1rem;color:#222}"
    "h1{font-size:1.5rem;line-height:1.25}"
    "button{font:inherit;padding:.6rem 1.4rem;border:0;border-radius:.4rem;background:#1f6f54;color:#fff}"
    "fieldset{border:0;padding:0;margin:0 0 1.2rem}legend{font-weight:600;margin-bottom:.5rem}"
    "label{display:block;margin:.5rem 0}a{color:#1f6f54}"
    ".scores{display:flex;max-width:26rem}.scores label{flex:1;margin:0;padding:.3rem 0;text-align:center}"
    ".scores input{display:block;margin:0 auto .2rem}.ends{display:flex;justify-content:space-between;color:#555}"
    "textarea,select,input[type=email]{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;"
    "border:1px solid #777;border-radius:.4rem;background:#fff;color:#222}[role=alert]{color:#a11d1d}"
    "@media(prefers-color-scheme:dark){body{background:#171b19;color:#e6ebe8}.ends{color:#aeb8b2}a{color:#7fcfae}"
    "[role=alert]{color:#ff9d9d}}"
)
STYLE_HASH = f"'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"


def confirm_page(locale: str, what: str) -> str:
    """Asks before `what` is done; only its button changes anything."""
    words = WORDS[locale]
    return _page(locale, words.title, f"<p>{words.questions[what]}</p>{_form(words, what)}")


def done_page(locale: str, preferences: str) -> str:
    """Says that nothing more comes, and where to choose otherwise."""
    words = WORDS[locale]
    link = f'<p><a href="{escape(preferences)}">{words.changed_mind}</a></p>'
    return _page(locale, words.title, f"<p>{words.unsubscribed}</p>{link}")


def note_page(locale: str, note: str) -> str:
    """Says what was done."""
    return _page(locale, WORDS[locale].title, f"<p>{WORDS[locale].notes[note]}</p>")


def missing_page(locale: str) -> str:
    """Says nothing about why."""
    return _page(locale, WORDS[locale].title, f"<p>{WORDS[locale].missing}</p>")


def preferences_page(locale: str, topics: Mapping[str, str], hears: Mapping[str, bool]) -> str:
    """All topics to tick; those that the person hears about are."""
    words = WORDS[locale]
    boxes = "".join(
        f'<label><input type="checkbox" name="topic" value="{escape(name)}"{" checked" * hears[name]}> '
        f"{escape(title)}</label>"
        for name, title in topics.items()
    )
    fields = f"<fieldset><legend>{words.preferences}</legend>{boxes}</fieldset><p>{words.preferences_hint}</p>"
    return _page(locale, words.title, _form(words, "choose", fields))


def subscribe_page(locale: str, topics: Mapping[str, str], chosen: str, *, wrong: bool = False) -> str:
    """An address to type in, and a topic; `wrong` where they were."""
    words = WORDS[locale]
    options = "".join(
        f'<option value="{escape(name)}"{" selected" * (name == chosen)}>{escape(title)}</option>'
        for name, title in topics.items()
    )
    alert = f'<p role="alert">{words.wrong_address}</p>' if wrong else ""
    fields = (
        f'{alert}<label for="address">{words.address}</label>'
        '<input type="email" id="address" name="address" required maxlength="320" autocomplete="email">'
        f'<label for="topic">{words.topic}</label><select id="topic" name="topic">{options}</select>'
        f'<input type="hidden" name="locale" value="{locale}"><p></p>'
    )
    return _page(locale, words.subscribe, _form(words, "subscribe", fields))


def survey_page(locale: str, survey: str, scores: range, chosen: int) -> str:
    """The scores, one of them chosen, and room for a comment."""
    words = WORDS[locale]
    question, lowest, highest = words.surveys[survey]
    radios = "".join(
        f'<label><input type="radio" name="score" value="{score}"{" checked" * (score == chosen)}>{score}</label>'
        for score in scores
    )
    fields = (
        f'<fieldset><legend>{words.score}</legend><div class="scores">{radios}</div>'
        f'<div class="ends"><span>{lowest}</span><span>{highest}</span></div></fieldset>'
        f'<label for="comment">{words.comment}</label>'
        f'<textarea id="comment" name="comment" rows="4" maxlength="{MAX_COMMENT}"></textarea><p></p>'
    )
    return _page(locale, question, _form(words, "answer", fields))


def preferred_locale(accept_language: str) -> str:
    """The language to answer in: the best of an Accept-Language header that we have, else English."""
    best, best_quality = "en", 0.0
    for entry in accept_language.split(",")[:20]:
        tag, _, parameters = entry.partition(";")
        try:
            quality = float(parameters.strip().removeprefix("q=") or 1)
        except ValueError:
            continue
        language = tag.strip().lower().partition("-")[0]
        locale = {"en": "en", "zh": "zh-CN"}.get(language)
        if locale and quality > best_quality:
            best, best_quality = locale, quality
    return best


def _form(words: Words, what: str, fields: str = "") -> str:
    return f'<form method="post">{fields}<button name="confirm" value="yes">{words.buttons[what]}</button></form>'


def _page(locale: str, title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="{locale}"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>"
    )
