import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks/crash_recorder.py"


def test_real_kills_lose_no_committed_episode():
    command = [sys.executable, str(BENCHMARK), "--kills", "6", "--no-result"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[1] for row in rows if row[0] in ("commit", "live")] == ["3", "3"]
