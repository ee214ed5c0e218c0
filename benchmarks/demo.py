"""The whole demo with three training seeds: success of the shipped bundle, with intervals.

Each seed is `steady run recipes/demo.toml --set seed=S` in a workspace of its own:
demonstrations, training, export and all test episodes differ between the seeds.

    make bench NAME=demo
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from result_file import Claim, describe_versions, write_result
from steadyhand.evaluation.statistics import paired_difference
from steadyhand.evaluation.suite import Evaluation, compare
from steadyhand.store.atomic import read_json
from steadyhand.store.manifest import read_manifest

ROOT = Path(__file__).parents[1]
STEADY = Path(sys.executable).with_name("steady")
SEEDS = (7, 8, 9)
HARD, HELD_OUT, SHIFTED = "pick_place-hard", "pick_place-hard-held_out", "pick_place-shifted"


def run(seed: int, workspace: Path) -> dict[str, Any]:
    """Run the recipe with one seed and read what the shipped bundle reached."""
    directory = _finished_run(workspace)
    if directory is None:
        words = ["run", str(ROOT / "recipes" / "demo.toml"), "--set", f"seed={seed}"]
        done = subprocess.run([STEADY, *words, "--workspace", str(workspace)], check=False)
        directory = _finished_run(workspace)
        if done.returncode or directory is None:
            sys.exit(f"seed {seed}: the recipe failed with exit code {done.returncode}")
    digests = read_json(directory / "outputs.json")
    stages = {name: workspace / "trees" / digests[name] for name in ("evaluate", "reevaluate")}
    found = {
        name: Evaluation.from_json(read_json(path / "evaluation.json"))
        for name, path in stages.items()
    }
    return {
        "seed": seed,
        # As measured when each stage was executed, also if some were reused now.
        "wall_s": sum(row["seconds"] for row in read_json(directory / "results.json").values()),
        "bundle": found["reevaluate"],
        "pairs": tuple(
            [r.is_success for r in found[name].results] for name in ("reevaluate", "evaluate")
        ),
        "comparison": compare(found["reevaluate"], found["evaluate"], 0.02),
    }


def _finished_run(workspace: Path) -> Path | None:
    """Return a run that is complete; it is read, not run again, so that the benchmark resumes."""
    for directory in sorted((workspace / "runs").glob("demo-*")):
        if read_manifest(directory / "manifest.json").finished:
            return directory
    return None


def claims_of(rows: list[dict[str, Any]]) -> list[Claim]:
    """Return what was promised and what was measured."""
    claims = []
    for row in rows:
        rates = row["bundle"].by_task()
        seed = row["seed"]
        hard, held_out, shifted = (rates[task] for task in (HARD, HELD_OUT, SHIFTED))
        low = hard.interval.low
        claims += [
            Claim(
                f"seed {seed}: bundle on {hard.num_trials} hard episodes, lower end of the 95% "
                f"Wilson interval ({hard.num_successes} solved)",
                low,
                "share",
                ">=",
                0.95,
            ),
            Claim(
                f"seed {seed}: bundle on {held_out.num_trials} episodes of the held-out corner",
                held_out.value,
                "share",
                ">=",
                0.85,
            ),
            Claim(
                f"seed {seed}: bundle on {shifted.num_trials} shifted episodes (reported, no "
                "target)",
                shifted.value,
                "share",
                ">=",
                0.0,
            ),
            Claim(
                f"seed {seed}: bundle minus checkpoint, lower end of the paired 95% interval",
                row["comparison"].overall.difference.low,
                "share",
                ">=",
                -0.02,
                peer="checkpoint in torch, same episodes",
            ),
        ]
    bundle, checkpoint = ([x for row in rows for x in row["pairs"][i]] for i in (0, 1))
    pooled = paired_difference(bundle, checkpoint)
    claims.append(
        Claim(
            f"all seeds: bundle minus checkpoint over {len(bundle)} pairs, lower end of the "
            "paired 95% interval",
            pooled.low,
            "share",
            ">=",
            -0.02,
            peer="checkpoint in torch, same episodes",
        )
    )
    walls = [row["wall_s"] for row in rows]
    claims.append(
        Claim(
            "whole demo after set-up, sum of its stages, median over the seeds (seed 7 alone on "
            "the machine, 8 and 9 beside the test suite)",
            statistics.median(walls),
            "s",
            "<=",
            360.0,
            repeats=len(walls),
            spread=(min(walls), max(walls)),
        )
    )
    return claims


def main() -> None:
    """Run every seed and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, default=ROOT / "workspace" / "bench-demo")
    arguments = parser.parse_args()
    started_s = time.monotonic()
    rows = [run(seed, arguments.workspace / str(seed)) for seed in SEEDS]
    claims = claims_of(rows)
    for claim in claims:
        print(f"{claim.claim}: {claim.value:.4g} {claim.unit} ({claim.relation} {claim.target:g})")
    path = write_result(
        "demo",
        claims,
        describe_versions(["mujoco", "torch", "onnxruntime", "numpy"]),
        time.monotonic() - started_s,
        "make bench NAME=demo",
    )
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
