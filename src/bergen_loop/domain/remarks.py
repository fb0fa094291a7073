"""What the warehouse says of goods in words, beside its counts. A count as good whose words speak
of something else is a doubt, and so are words that nobody knows: they come in any language.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

_AMISS = re.compile(
    r"\b(dmgd?|damag\w*|broken?|torn|tears?|rip|rips|ripped|stain\w*|soil\w*|dirty|worn|defect\w*"
    r"|wrong\w*|incorrect\w*|mismatch\w*|missing|quarantin\w*|reject\w*|counterfeit\w*|fake"
    r"|unsell\w*|unsal\w*|unresell\w*|scrap\w*|dispose\w*|hold|empty|used|salvage\w*|refurb\w*"
    r"|not (received|in( the)? box|there|found|ours?|our|new|posted|(re)?(sell|sal|stock)\w*)"
    r"|return to (vendor|sender|customer)|b ?(stock|grade|goods|quality)"
    r"|(grade|quality|condition|code) [b-f]|(2nd|second|3rd|third) (quality|choice|grade)|seconds"
    r"|open(ed)? box|different|swap\w*|substitut\w*|refus\w*|short(age)?|holes?|crack\w*"
    r"|scratch\w*|scuff\w*|smell\w*|odou?rs?|mou?ld\w*|recount\w*|discrepan\w*|varianc\w*|partial"
    r"|fraud\w*|bad|lost|washed|no tags?|tags? (missing|removed|cut|off)|without tags?|fail\w*"
    r"|errors?)\b"
)
_CONDITION = re.compile(
    r"\b(dmgd?|damag\w*|b ?(stock|grade|goods)|grade [b-f]|seconds|2nd|refurb\w*|open ?box|used"
    r"|quarantin\w*|reject\w*|scrap|defect\w*|unsell\w*|unsal\w*|salvage|hold|qc|broken|worn)\b"
)
"""What stands in the name of goods that are not as they were sold: `TEE-RED-M-DMG`."""
_FINE = re.compile(
    r"\b(no|not|without|nothing|never)( visible| any| signs? of| apparent| obvious)*"
    r" (damag\w*|broken|torn|tears?|stain\w*|soil\w*|dirty|wear|worn|used?|defect\w*|wrong|missing"
    r"|issues?|problems?|opened|washed|scratch\w*|holes?|odou?rs?|smells?|empty)\b"
)
_OF_NO_MATTER = frozenset(
    re.findall(
        r"\w+",
        """a accepted added all and are as at attached away bag bin bnwt box by carton checked
        clean code color colour complete condition confirmed correct count counted customer day
        excellent fine from fully good grade great has in inspected inspection intact inventory
        is item items label labels like line location lot memo new none normal nwt of ok okay on
        original package packaging packed pass passed pcs perfect photo photos piece pieces
        polybag processed put putaway qa qc qty quality quantity rcvd reason rec recd received
        receiving regular resalable resaleable resellable restock restocked return returned
        returns rma saleable scanned sealed sellable shelf size sku stock stocked style tag
        tagged tags the to undamaged unit units unopened unused unworn upc very warehouse well
        with would yes""",
    )
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Remarks:
    """How a brand wants the words of its warehouse to be taken."""

    harmless: frozenset[str] = frozenset()
    """Words that are of no matter, beside those that are never (`remark_words`)."""
    unknown_is_doubt: bool = True

    def gainsay(self, remark: str | None, ours: Iterable[str]) -> bool:
        """Whether a remark on goods that are counted as good speaks of more than its counts do.
        `ours`: what was sent with the announcement comes back as remarks, also cut off."""
        said = _sentences(remark).replace("return reason code ", "")
        phrases = sorted({_sentences(one) for one in ours} - {""}, key=len, reverse=True)
        for phrase in phrases:
            said = re.sub(rf"(?<!\w){re.escape(phrase)}(?!\w)", " ", said)
        left = said.strip(" |")
        if any(_is_cut(left, phrase) for phrase in phrases):
            return False
        said = _FINE.sub(" ", said)
        if _AMISS.search(said):
            return True
        words = said.replace("|", " ").split()
        return self.unknown_is_doubt and not all(map(self._harmless, words))

    def _harmless(self, word: str) -> bool:
        """Dates, places, numbers and initials say nothing of the goods either."""
        short = len(word) <= 2 and word.isascii()
        return word in _OF_NO_MATTER or word in self.harmless or short or _has_digit(word)


def remark_words(given: Iterable[str]) -> frozenset[str]:
    """The words of a setting, as they are compared."""
    return frozenset(word for one in given for word in plain(one).split())


def speaks_of_trouble(text: str | None) -> bool:
    """Whether words say by themselves that something is not as it should be."""
    return bool(_AMISS.search(_FINE.sub(" ", plain(text))))


def other_condition(called: Iterable[str | None], ours: Iterable[str | None]) -> str | None:
    """What a product is called, where that is of goods in another condition than were sold, and it
    was not announced under such a name."""
    sold = " ".join(map(plain, ours))
    for name in called:
        found = {match[0] for match in _CONDITION.finditer(plain(name))}
        if any(not re.search(rf"\b{re.escape(words)}\b", sold) for words in found):
            return name
    return None


@lru_cache(4096)
def plain(text: str | None) -> str:
    """The words alone, in one spelling: `QualityCode: B` is `quality code b`."""
    whole = _CAMEL.sub(" ", html.unescape(html.unescape(text or "")))
    folded = unicodedata.normalize("NFKC", whole).casefold()
    return " ".join("".join(c if c.isalnum() else " " for c in folded).split())


def _sentences(text: str | None) -> str:
    """The words of each sentence: a "no" at the end of one denies nothing in the next."""
    whole = html.unescape(html.unescape(text or ""))
    return " | ".join(filter(None, map(plain, _ENDS.split(whole))))


_ENDS = re.compile(r"[.;!?\n]+(?!\d)")


def _is_cut(words: str, phrase: str) -> bool:
    """Whether words are what is left of a phrase that was too long for its field: cut off within
    a word, or long enough not to be somebody else's."""
    rest = phrase.removeprefix(words)
    if not words or rest == phrase or not rest:
        return False
    return len(words) >= (_LEAST if rest[0].isalnum() else 2 * _LEAST)


_LEAST = 10


def _has_digit(word: str) -> bool:
    return any(c.isdigit() for c in word)
