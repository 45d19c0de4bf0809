"""The ids of videos in their addresses on YouTube."""

from urllib.parse import parse_qs, urlsplit


def youtube_id(address: str) -> str | None:
    """Of "https://www.youtube.com/watch?v=ID" or "https://youtu.be/ID"; None of anything else."""
    try:
        parts = urlsplit(address.strip())
        asked = parse_qs(parts.query).get("v", [""])[0]
        short = parts.path.strip("/") if parts.hostname in ("youtu.be", "www.youtu.be") else ""
    except ValueError:  # "http://[x" and the like
        return None
    return asked or short or None
