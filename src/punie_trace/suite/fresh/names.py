"""Words and made-up names for synthetic code bases: nouns, verbs, syllables, and names composed of them.

All choices come from the `random.Random` that is given, so the same seed gives the same names. Reserved names are
those of the questions by which the model is judged; nothing here makes them.
"""

from __future__ import annotations

import keyword
import random


def word_list(text: str) -> list[str]:
    """The words of a text, as a list: long tables of names read better that way."""
    return text.split()


RESERVED = frozenset({"UserSerializer", "user_serializer"})

DOMAIN = word_list(
    """
    account address agenda album alert animal answer apartment appointment archive article artist asset audit
    author badge balance banner basket batch bike bill blog board book booking branch brand budget bundle
    business cabin calendar campaign candidate car card cargo cart case category channel chapter charge chat
    checkout choice city claim client clinic coach comment company contact container contract coupon course
    courier crew currency customer cycle dataset deal delivery department deposit device digest discount
    district doctor document donation driver event exam exhibit expense farm fee feed field file fleet flight
    folder forecast forum friend fund gallery game garden gift grade grant group guest guide harvest hotel
    image incident index ingredient invoice item job journal journey kitchen label language lead league ledger
    lesson letter library license link listing loan locale location lock log loan machine mail manual map
    market match meal measure media meeting member menu message meter milestone module movie museum news note
    notice offer office order organ owner package page parcel park partner passenger patient payment payout
    permit person pet phase photo pipeline plan planet plant player playlist pledge podcast policy poll
    portfolio post price print prize product profile project promo property proposal quiz quota quote rating
    reading receipt recipe record referral refund region reminder rental repair reply report request
    reservation resource restaurant result review reward ride risk role room route rule salary sale sample
    schedule school score season seat section sensor service session shelf shift ship shipment shop site skill
    slot song sponsor stage station statement stock stop store story stream student study subject supplier
    survey swap tag target task tax team tenant term theme thread ticket timer topic tour track trade trail
    train transfer trip unit upload vacancy vault vehicle vendor venue version video visit visitor voucher
    wallet ward warehouse warranty watch weather widget window worker workshop zone
    """
)

ADJECTIVES = word_list(
    """
    active archived bulk cached closed daily default draft expired external fast final global hidden initial
    internal latest legacy local locked main manual merged monthly nested open optional partial pending
    primary private public raw recent remote safe secure shared signed simple smart strict temporary tiny
    urgent valid verified weekly
    """
)

VERBS = word_list(
    """
    apply approve archive assign attach build calculate cancel capture check claim clean clear close collect
    compute confirm convert copy count create decode delete detach detect dispatch download encode enqueue
    ensure estimate expire export extract fetch fill filter find flush format generate get group handle index
    invite issue join link list load lock log map mark merge migrate move normalize notify open parse patch
    pick plan prepare process publish pull purge push queue rank read rebuild receive record refresh refund
    register reject release remove rename render renew repair replace request reserve reset resize resolve
    restore retry revoke rotate round run save scan schedule score send serialize set settle share ship sign
    skip sort split start stop store submit sum sync tag total track transfer trim update upload validate
    verify warm wrap write
    """
)

FIELDS = word_list(
    """
    amount body city code color comment count country created_at currency date deadline description due_at
    email ended_at expires_at first_name height hidden is_active is_default key kind label language last_name
    level limit locale name note number paid_at path phone position price priority quantity rank rate reason
    reference score sent_at size slug source started_at state status street subtitle summary text timezone
    title token total unit updated_at url username value version views weight width zip_code
    """
)

SUFFIXES = word_list(
    """
    Adapter Admin Backend Builder Cache Client Command Config Error Exporter Factory Field Filter Form Handler
    Importer Job Loader Manager Middleware Mixin Model Page Paginator Parser Permission Policy Processor
    Provider QuerySet Queue Registry Renderer Report Repository Resolver Router Rule Runner Schema Sender
    Serializer Service Session Storage Strategy Test Throttle Tracker Validator View ViewSet Widget Worker
    Writer
    """
)

_ONSETS = word_list(
    """
    b bl br c ch cl cr d dr f fl fr g gl gr h j k kl kr l m n p pl pr qu r s sh sk sl sn sp st t th tr v w x y
    z
    """
)
_VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "io", "oo", "ou"]
_CODAS = ["", "", "", "n", "r", "l", "m", "x", "t", "ck", "nd", "rk", "lt", "mp", "nt", "p", "d", "v", "b", "g", "z"]


def made_up_word(rng: random.Random) -> str:
    """A lower-case word of one to three random syllables, now and then of random letters."""
    if rng.random() < 0.15:
        return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(2, 5))) + rng.choice("qvxzj")
    word = "".join(
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(rng.choice((1, 2, 2, 2, 3)))
    )
    return word + "o" if keyword.iskeyword(word) else word


def noun(rng: random.Random, made_up: float = 0.35) -> str:
    """A domain noun, or with the given chance a made-up one."""
    return made_up_word(rng) if rng.random() < made_up else rng.choice(DOMAIN)


def camel(*words: str) -> str:
    """'order', 'line' -> 'OrderLine'."""
    return "".join(part[:1].upper() + part[1:] for word in words for part in word.split("_"))


def class_name(rng: random.Random, suffix: str | None = None) -> str:
    """A class name of one to three words, with or without a customary suffix."""
    while True:
        words = [noun(rng)]
        if rng.random() < 0.35:
            words.insert(0, rng.choice(ADJECTIVES) if rng.random() < 0.5 else noun(rng))
        ending = rng.choice(SUFFIXES) if suffix is None and rng.random() < 0.5 else suffix or ""
        name = camel(*words) + ending
        if name not in RESERVED:
            return name


def function_name(rng: random.Random) -> str:
    """A snake-case function name of two to four words."""
    words = [rng.choice(VERBS) if rng.random() < 0.85 else made_up_word(rng), noun(rng)]
    if rng.random() < 0.3:
        words.insert(1, rng.choice(ADJECTIVES))
    if rng.random() < 0.25:
        words.append(rng.choice(FIELDS) if rng.random() < 0.5 else noun(rng))
    return "_".join(words)


def plural(word: str) -> str:
    """The English plural of a noun."""
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "z", "ch", "sh")) else "s")
