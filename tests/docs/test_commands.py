"""Every `steady` command that the documents show is run, in their order, in one workspace."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEADY = Path(sys.executable).with_name("steady")
PAGES = ["README.md", "docs/tutorial.md", "CONTRIBUTING.md", "docs/formats/dataset.md"]


def fenced_lines(page: str) -> list[str]:
    """Return the command lines of a page's ```sh blocks, without their comments."""
    text = (ROOT / page).read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [
        line.split("  #")[0].strip()
        for block in blocks
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip() and not line.startswith("#")
    ]


@pytest.mark.timeout(600)
def test_every_steady_command_of_the_documents_works(tmp_path):
    commands = [c for page in PAGES for c in fenced_lines(page) if c.startswith("steady ")]
    assert any(c.startswith("steady run") for c in commands)
    for folder in ("recipes",):
        (tmp_path / folder).symlink_to(ROOT / folder)
    failed = []
    for command in dict.fromkeys(commands):
        # The demo takes minutes; the smoke recipe has the same stages.
        words = shlex.split(command.replace("recipes/demo.toml", "recipes/smoke.toml"))
        words = [w.replace("demo-", "smoke-") for w in words[1:]]
        done = subprocess.run(
            [STEADY, *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            failed.append(f"{command}\n  exit {done.returncode}: {done.stderr[-500:]}")
    assert not failed, "\n".join(failed)


def test_every_make_target_of_the_documents_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {
        command.split()[1]
        for page in PAGES
        for command in fenced_lines(page)
        if command.startswith("make ")
    }
    assert shown <= targets
