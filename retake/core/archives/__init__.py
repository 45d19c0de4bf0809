"""Archives read in place: what is in them, and paths that lead into them.

Benchmarks of long videos come as zip and tar archives of a hundred gigabytes and more, some cut
into parts. Unpacking them all takes that room a second time; here a single file is read out of
one. A path goes on behind the archive's own: "/data/videos_chunked_01.zip/data/abc.mp4".
"""

from retake.core.archives.inside import Place, place_in, read_bytes
from retake.core.archives.names import ArchiveName, archive_name, parts_of
from retake.core.archives.opening import Archive, Member, open_archive

__all__ = [
    "Archive",
    "ArchiveName",
    "Member",
    "Place",
    "archive_name",
    "open_archive",
    "parts_of",
    "place_in",
    "read_bytes",
]
