"""`python -m tests.miniatures NAME FOLDER [KEY=VALUE ...]`: write a miniature of a benchmark."""

import importlib
import sys
from pathlib import Path


def main(words: list[str]) -> int:
    """Write the miniature called NAME; what follows the folder are options of its `make`."""
    names = sorted(
        path.stem
        for path in Path(__file__).parent.glob("*.py")
        if path.stem not in ("__main__", "clips")
    )
    if len(words) < 2 or words[0] not in names:
        print(f"{__doc__}\nNAME is one of: {', '.join(names)}", file=sys.stderr)
        return 2
    name, folder, *options = words
    given = dict(option.split("=", 1) for option in options)
    importlib.import_module(f"tests.miniatures.{name}").make(Path(folder), **given)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
