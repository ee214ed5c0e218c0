"""The documents agree with the tree."""

import re
import subprocess
import sys
from pathlib import Path

import steadyhand

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(p.parent for p in Path(steadyhand.__file__).parent.glob("*/__init__.py"))


def layout_table() -> str:
    """Render one row a package from the first line of its docstring."""
    rows = ["| package | what it is |", "|---|---|"]
    for package in PACKAGES:
        first = (package / "__init__.py").read_text().split('"""')[1].strip().split("\n")[0]
        rows.append(f"| `{package.name}` | {first} |")
    return "\n".join(rows)


def test_the_layout_table_is_what_the_packages_say():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    written = re.search(r"<!-- layout:begin.*?-->\n(.*?)<!-- layout:end -->", text, re.DOTALL)
    assert written is not None
    assert written.group(1).strip() == layout_table()


def test_every_relative_link_of_the_documents_leads_somewhere():
    broken = []
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text()):
            if not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)} -> {target}")
    assert broken == []


def test_the_generated_pages_are_fresh():
    table = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "table.py", "--stdout"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert (ROOT / "docs" / "benchmarks.md").read_text() == table


def test_the_readme_stays_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
