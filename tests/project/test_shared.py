"""What tests share, where no test run does: pictures and long random runs are commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.processes import ROOT
from tests.shared import VARIABLE

COMMAND = """
from tests.shared import made_once

made = []
for _ in range(2):
    path = made_once("something", lambda path: made.append(path.write_text("made")))
assert len(made) == 1
print(path)
"""


def test_a_command_has_a_folder_of_its_own_until_it_ends() -> None:
    env = {name: value for name, value in os.environ.items() if name != VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    path = Path(done.stdout.strip())
    assert path.name == "something"
    assert not path.parent.exists()
