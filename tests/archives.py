"""Archives for tests: zips and tars, in parts, damaged."""

import io
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path


def make_zip(path: Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip of these files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make_tar(path: Path, files: Mapping[str, bytes], mode: str = "w") -> Path:
    """A tar of these files; mode "w:gz" compresses it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def cut(path: Path, *names: str) -> list[Path]:
    """A file cut into parts of nearly one size, called so, in its place."""
    content = path.read_bytes()
    path.unlink()
    size = -(-len(content) // len(names))
    parts = [path.with_name(name) for name in names]
    for number, part in enumerate(parts):
        part.write_bytes(content[number * size : (number + 1) * size])
    return parts


def set_zip_field(path: Path, local: int, central: int, value: int) -> None:
    """Overwrite a 16-bit field of the first file's headers in a zip.

    Args:
        local, central: where it stands in the local header and in that of the directory.
        value: what is written.
    """
    content = bytearray(path.read_bytes())
    struct.pack_into("<H", content, content.index(b"PK\x03\x04") + local, value)
    struct.pack_into("<H", content, content.index(b"PK\x01\x02") + central, value)
    path.write_bytes(content)


def encrypt(path: Path) -> None:
    """Mark the first file of a zip as encrypted."""
    set_zip_field(path, 6, 8, 0x1)


def change_method(path: Path, method: int) -> None:
    """Have the first file of a zip say that it is compressed in another way."""
    set_zip_field(path, 8, 10, method)


def damage(path: Path, name: str) -> None:
    """Change a byte in the middle of a file that is stored in a zip."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    content = bytearray(path.read_bytes())
    place = info.header_offset + 30 + len(name) + info.compress_size // 2
    content[place] ^= 0xFF
    path.write_bytes(content)
