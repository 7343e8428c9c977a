"""Secrets and people, as they are found in configurations, logs and records: none of them may ever be in a report."""

from hypothesis import strategies as st

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
URL_SAFE = f"{LETTERS}-_"


def _text(alphabet, size):
    return st.text(alphabet, min_size=size, max_size=size)


DIGITS = _text("0123456789", 8)
TOKENS = st.builds("mw_{}_{}".format, _text("0123456789abcdef", 12), _text(URL_SAFE, 43))
ROUTING_KEYS = _text(LETTERS, 32).filter(lambda key: any(one.isdigit() for one in key))
OPEN_IDS = _text(URL_SAFE, 27).map("o{}".format)
HASHES = _text("0123456789abcdef", 32)
PHONES = st.builds("13{}{}".format, st.integers(1, 9), DIGITS)
SPACED_PHONES = PHONES.map(lambda number: f"{number[:3]} {number[3:7]} {number[7:]}")
DASHED_PHONES = PHONES.map(lambda number: f"{number[:3]}-{number[3:7]}-{number[7:]}")
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str).filter(lambda text: len(text) > 4)
NAMES = st.sampled_from(["Zebulonsky", "Quackenbosh", "王小明", "欧阳娜娜", "Łukaszewicz"])
EMAILS = st.builds("{}@q7{}.example".format, NAMES, _text(LETTERS, 12))  # Hypothesis draws the program's own words, too
URLS = st.builds("https://{}:q7{}@{}.example/q7{}".format, NAMES, _text(URL_SAFE, 16), NAMES, _text(URL_SAFE, 24))
PATHS = st.builds("/home/{}/q7{}.log".format, NAMES, _text(LETTERS, 12))
PLANTED = st.one_of(
    TOKENS, ROUTING_KEYS, OPEN_IDS, HASHES, PHONES, SPACED_PHONES, DASHED_PHONES, ADDRESSES, NAMES, EMAILS, URLS, PATHS
)


def is_in(planted: str, report: str) -> bool:
    """Whether a report has what was planted, whole or in letters of another size, or so much of it that one could tell."""
    told = report.casefold()
    if planted.casefold() in told:
        return True
    if planted.replace(" ", "").isdigit():  # a number, however it is written
        return any(part in told for part in (planted.replace(" ", ""), " ".join(planted.split()[:2])) if len(part) > 6)
    return any(part.casefold() in told for part in _telling(planted))


def _telling(planted: str) -> list[str]:
    """The parts of a URL, an address of mail, or a path, each of which tells somebody or something."""
    parts = [planted]
    for sign in "/:@. ":
        parts = [piece for part in parts for piece in part.split(sign)]
    return [part for part in parts if len(part) > 5 and part not in {"https", "example"}]
