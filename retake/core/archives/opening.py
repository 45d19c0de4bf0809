"""An open archive: the files in it, and reading one of them."""

import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Self

import attrs

from retake.core.archives.joined import JoinedFile
from retake.core.archives.names import archive_name, parts_of
from retake.core.errors import VideoError, nearest
from retake.core.stand_ins import stand_in

_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    ValueError,
)
_STORED = {
    zipfile.ZIP_STORED: "stored",
    zipfile.ZIP_DEFLATED: "deflate",
    zipfile.ZIP_BZIP2: "bzip2",
    zipfile.ZIP_LZMA: "lzma",
}


@attrs.frozen
class Member:
    """A file in an archive.

    Attributes:
        name: its path in the archive, with "/" between folders.
        bytes: how large it is, unpacked.
        offset: where it begins in a tar, which stores it as it is; None in a zip.
    """

    name: str
    bytes: int
    offset: int | None = None


class Archive(ABC):
    """A zip or tar archive, whole or in parts, of which single files are read.

    A context manager.

    Attributes:
        path: the archive, or its first part.
        members: the files in it by name; of two of one name the later. Folders are left out, and
            so are names that lead out of it.
    """

    members: Mapping[str, Member]

    def __init__(self, path: Path, file: "io.BufferedReader[JoinedFile]") -> None:
        self.path = path
        self._file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._file.close()

    def member(self, name: str) -> Member:
        """The file of that name.

        Raises:
            VideoError: there is none; near names are listed.
        """
        if name not in self.members:
            raise VideoError(f"There is no '{name}' in {self.path}.", hint=self._alike(name))
        return self.members[name]

    def pieces(self, name: str, size: int = 2**20) -> Generator[bytes, None, None]:
        """The content of one file, in pieces of at most `size` bytes.

        Once the last piece is there, a file of a zip is known to be what was packed.

        Raises:
            VideoError: there is none, it is encrypted, compressed in an unknown way or damaged.
        """
        member = self.member(name)
        what = f"'{name}' in {self.path}"
        with reading(self.path, what):
            stream = self._opened(member)
        with stream:
            while True:
                with reading(self.path, what):
                    piece = stream.read(size)
                if not piece:
                    return
                yield piece

    @abstractmethod
    def _opened(self, member: Member) -> IO[bytes]: ...

    def _alike(self, name: str) -> str:
        if not self.members:
            return "The archive is empty."
        names = {PurePosixPath(known).name: known for known in self.members}
        close = nearest(PurePosixPath(name).name, names)
        listed = [names[one] for one in close] or list(self.members)[:3]
        word = "Near it:" if close else f"It holds {len(self.members)} files, such as:"
        return f"{word} {', '.join(listed)}."


class _Zip(Archive):
    def __init__(self, path: Path, file: "io.BufferedReader[JoinedFile]") -> None:
        super().__init__(path, file)
        self._zip = zipfile.ZipFile(file)
        self._infos = {
            info.filename: info
            for info in self._zip.infolist()
            if not info.is_dir() and _stays_inside(info.filename)
        }
        self.members = {name: Member(name, info.file_size) for name, info in self._infos.items()}

    def _opened(self, member: Member) -> IO[bytes]:
        info = self._infos[member.name]
        if info.flag_bits & 0x1:
            raise VideoError(
                f"'{member.name}' in {self.path} is encrypted.",
                hint="Unpack the archive with its password; the folder is found as well.",
            )
        if info.compress_type not in _STORED:
            raise VideoError(
                f"'{member.name}' in {self.path} is compressed in a way that Python cannot read "
                f"(method {info.compress_type}; it reads {', '.join(_STORED.values())}).",
                hint="Unpack the archive with another program, such as 7-Zip.",
            )
        return self._zip.open(info)


class _Tar(Archive):
    def __init__(
        self, path: Path, file: "io.BufferedReader[JoinedFile]", parts: list[Path]
    ) -> None:
        super().__init__(path, file)
        states = [(part, part.stat()) for part in parts]
        found = _tar_members(
            tuple((part, state.st_size, state.st_mtime_ns) for part, state in states)
        )
        self.members = {member.name: member for member in found}

    def _opened(self, member: Member) -> IO[bytes]:
        return io.BufferedReader(_Slice(self._file, member.offset or 0, member.bytes))


class _Slice(io.RawIOBase):
    """Some bytes of a file, which are there or it is an error."""

    def __init__(self, file: "io.BufferedReader[JoinedFile]", begin: int, length: int) -> None:
        super().__init__()
        self._file, self._at, self._end = file, begin, begin + length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        wanted = min(len(buffer), self._end - self._at)
        if not wanted:
            return 0
        self._file.seek(self._at)
        count = self._file.readinto(memoryview(buffer)[:wanted])
        if not count:
            raise EOFError("the archive ends within it")
        self._at += count
        return count


def open_archive(path: Path) -> Archive:
    """Open an archive, or one in parts by its first part, and list what is in it.

    Listing reads the directory of a zip, and the headers of a tar once a process: it takes no
    longer for large files.

    Raises:
        VideoError: it cannot be read, is compressed as a whole, or is damaged.
    """
    name = archive_name(path.name)
    if name is None:
        raise VideoError(f"{path} is no archive that can be read into (zip or tar).")
    parts = parts_of(path)
    if name.kind == "compressed tar":
        raise VideoError(
            f"{path} is compressed as a whole, so no single file can be read from it.",
            hint=f"Unpack it: cat {_quoted(parts)} | tar -x{_letter(name.whole)}f - "
            f"-C {path.parent}",
        )
    with reading(path, str(path)):
        _check_head(parts[0])
        file = io.BufferedReader(JoinedFile(parts))
        try:
            return _Zip(path, file) if name.kind == "zip" else _Tar(path, file, parts)
        except BaseException:
            file.close()
            raise


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """What goes wrong while an archive is read, said for people."""
    try:
        yield
    except _DAMAGED as error:
        if "multiple disks" in str(error):
            hint = f"Join its parts: zip -s 0 {path.name} --out joined.zip"
        else:
            hint = "Fetch it again; a part of it may be missing, or its download was cut off."
        raise VideoError(f"{what} is damaged: {error}.", hint=hint) from None
    except FileNotFoundError:
        raise VideoError(f"There is no archive {path}.") from None
    except OSError as error:
        raise VideoError(f"{what} cannot be read: {error.strerror or error}.") from None


@lru_cache(maxsize=64)
def _tar_members(parts: tuple[tuple[Path, int, int], ...]) -> tuple[Member, ...]:
    """The files of a tar; kept for as long as its parts are of the same size and time."""
    with (
        io.BufferedReader(JoinedFile([part for part, _, _ in parts])) as file,
        tarfile.open(fileobj=file, mode="r:") as tar,
    ):
        return tuple(
            Member(_plain(info.name), info.size, info.offset_data)
            for info in tar
            if info.isreg() and not info.issparse() and _stays_inside(info.name)
        )


def _check_head(path: Path) -> None:
    """Refuse what is no regular file, and what is something else under the name."""
    if not path.is_file():
        raise VideoError(
            f"There is no archive {path}." if not path.exists() else f"{path} is no file."
        )
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise VideoError(f"{path} is empty (0 bytes).", hint="Fetch or copy the file again.")
    if trouble := stand_in(head):
        raise VideoError(f"{path} is {trouble.what}, not an archive.", hint=trouble.hint)


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts


def _plain(name: str) -> str:
    return str(PurePosixPath(name))


def _quoted(parts: list[Path]) -> str:
    if len(parts) == 1:
        return f"'{parts[0]}'"
    name = archive_name(parts[0].name)
    whole = "" if name is None else f"{name.whole}{name.mark}"
    return f"'{parts[0].parent}/{whole}'*"


def _letter(whole: str) -> str:
    """The option that tells `tar` how an archive is compressed."""
    letters = {".bz2": "j", ".xz": "J", ".zst": " --zstd -"}
    return letters.get(Path(whole).suffix.lower(), "z")
