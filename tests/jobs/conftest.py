"""Toy units and stages live beside the tests; spawned workers find them on the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
