"""Split a URL that may name several hosts, such as those of a Redis Cluster or of PostgreSQL's standbys."""

import re
from typing import Final
from urllib.parse import SplitResult

# RFC 3986, appendix B. `urllib.parse.urlsplit` refuses a host in brackets that is not the only one.
_URL: Final = re.compile(r"(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)


def split_url(url: str) -> SplitResult:
    """Split a URL into its parts as they are written, with the scheme in lower case; never raises."""
    matched = _URL.fullmatch(url)
    scheme, netloc, path, query, fragment = matched.groups("") if matched else ("", "", url, "", "")
    return SplitResult(scheme.lower(), netloc, path, query, fragment)
