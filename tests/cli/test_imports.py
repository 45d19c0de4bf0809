"""What needs no model is quick: such commands import neither torch nor transformers."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

_CODE = """
import json, sys
from retake_cli.main import main

for words in json.loads(sys.argv[1]):
    code = main(words)
    heavy = sorted({"torch", "transformers"} & set(sys.modules))
    print("#", json.dumps([words[0], code, heavy]))
"""


def test_light_commands(done: Path, tmp_path: Path) -> None:
    """Looking at runs, listing data and refusing what is wrong, one after the other."""
    page, nowhere = str(tmp_path / "page.html"), str(tmp_path / "nowhere")
    again = shutil.copytree(done, tmp_path / "again")
    commands = [
        ["compare", str(done), str(again)],
        ["report", str(done), "-o", page],
        ["judge", nowhere, "--model", "any"],
        ["judge", str(done), "--model", "any", "--estimate"],
        ["submission", str(done), "-o", str(tmp_path)],
        ["data", "clips"],
        ["list", "datasets"],
        ["list", "presets"],
        ["list", "nothing"],
        ["run", "--no-such-flag"],
    ]
    words = [sys.executable, "-c", _CODE, json.dumps(commands)]
    found = subprocess.run(words, capture_output=True, text=True, timeout=120)
    said = [json.loads(line[2:]) for line in found.stdout.splitlines() if line.startswith("# ")]
    assert [each[0] for each in said] == [each[0] for each in commands], found.stderr
    assert [each[1] for each in said] == [0, 0, 1, 2, 2, 0, 0, 0, 2, 2], found.stderr
    assert [each for each in said if each[2]] == []
    assert Path(page).is_file()
