"""Choose the precision of each part from a table of measurements, and say why.

The choice is a pure function of the table. Timings differ from run to run, so they decide nothing
unless they differ grossly: among what is admissible the fewest bytes win, and sizes are exact.
Sensitivities do not add up (in an attention block single errors of 0.2% became 13% together), so
a combination of reduced parts counts only when it was measured as a whole.
"""

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from steadyhand.contracts.errors import UsageError
from steadyhand.export.parity import ParityReport

REFERENCE = "fp32"
WHOLE = "whole"
# Precision by part, in execution order.
Combination = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Latency:
    """Latency of a part or of the whole, in milliseconds on one thread.

    Args:
        median_ms: Median.
        p95_ms: 95th percentile.
        p99_ms: 99th percentile.
    """

    median_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class SensitivityRow:
    """What one combination of precisions costs and does.

    Args:
        combination: Asked precision by part.
        effective: What the engine executes, in words by part.
        is_offered: Whether the engine executes what was asked; if not, nothing else is measured.
        num_bytes: Size of all parts [bytes].
        parity: Numeric error on the actions, end to end; None if not offered.
        success: Success per episode, paired with every other row by position.
        latency: Latency by part and ``whole``, all rows interleaved in one run.
    """

    combination: Combination
    effective: tuple[tuple[str, str], ...]
    is_offered: bool
    num_bytes: int
    parity: ParityReport | None
    success: tuple[bool, ...]
    latency: tuple[tuple[str, Latency], ...]

    @property
    def reduced(self) -> Combination:
        """The parts that are not fp32."""
        return tuple(item for item in self.combination if item[1] != REFERENCE)

    @property
    def median_ms(self) -> float:
        """Median latency [ms] of the whole."""
        return dict(self.latency)[WHOLE].median_ms

    def describe(self) -> str:
        """Name the row."""
        return describe(self.combination)

    def to_json(self, *, has_timings: bool) -> dict[str, Any]:
        """Return plain JSON values.

        Args:
            has_timings: Whether to include what differs per machine and run.
        """
        value: dict[str, Any] = {
            "precision": dict(self.combination),
            "effective": dict(self.effective),
            "is_offered": self.is_offered,
            "num_bytes": self.num_bytes,
            "parity": self.parity.to_json() if self.parity else None,
            "num_success": sum(self.success),
            "num_episodes": len(self.success),
        }
        if has_timings:
            value["latency"] = {name: asdict(latency) for name, latency in self.latency}
        return value


@dataclass(frozen=True, slots=True)
class ChoiceRule:
    """What makes a precision admissible.

    Args:
        success_margin: Largest drop of the success rate against fp32 on the same episodes.
        latency_ratio: Largest ratio to the median latency of fp32 in the same run.
    """

    success_margin: float = 0.02
    latency_ratio: float = 1.25

    def __post_init__(self) -> None:
        if not 0 <= self.success_margin < 1:
            raise UsageError(f"success_margin must be in [0, 1), got {self.success_margin}")
        if not self.latency_ratio > 1:
            raise UsageError(f"latency_ratio must be above 1, got {self.latency_ratio}")


@dataclass(frozen=True, slots=True)
class Choice:
    """The result of choosing.

    Args:
        combination: Precision by part.
        is_measured: Whether the table holds this combination as a whole; if not, measure it,
            add the row and choose again.
        reasons: Why, one sentence per decision.
    """

    combination: Combination
    is_measured: bool
    reasons: tuple[str, ...]


def describe(combination: Combination) -> str:
    """Name a combination in words."""
    return ", ".join(f"{part} {precision}" for part, precision in combination)


def choose(rows: Sequence[SensitivityRow], rule: ChoiceRule) -> Choice:
    """Choose the smallest admissible combination.

    A row is admissible if the engine offers it, its parity holds, its paired success is no worse
    than fp32 by more than the margin, and it is not grossly slower. Combinations are built from
    admissible single reductions and tried by size, ties by name. The first that was measured as a
    whole and is admissible wins; the first that was not measured is returned to be measured.

    Args:
        rows: The table: the fp32 reference, single reductions, combinations measured so far.
        rule: What is admissible.

    Raises:
        RefusedError: If fp32 itself fails parity: then the export is wrong.
        UsageError: If there is no fp32 row, or episodes are not paired.
    """
    table = {row.combination: row for row in rows}
    reference = next((row for row in rows if not row.reduced), None)
    if reference is None:
        raise UsageError("the table needs a row with every part in fp32 to compare with")
    if reference.parity is not None:
        reference.parity.raise_if_failed()
    reasons: list[str] = []
    admissible = {part: [REFERENCE] for part, _ in reference.combination}
    verdicts: dict[Combination, str | None] = {reference.combination: None}
    for row in rows:
        if not row.reduced:
            continue
        verdicts[row.combination] = objection = _objection(row, reference, rule)
        reasons.append(f"{row.describe()}: {objection or 'admissible'}")
        if objection is None and len(row.reduced) == 1:
            part, precision = row.reduced[0]
            admissible[part].append(precision)
    combination = next(
        c
        for c in _ranked(admissible, table, reference)
        if c not in table or verdicts[c] is None  # fp32 always ends the search
    )
    if combination not in table:
        reasons.append(f"{describe(combination)}: smallest, to be measured as a whole")
        return Choice(combination, is_measured=False, reasons=tuple(reasons))
    size, full = table[combination].num_bytes, reference.num_bytes
    reasons.append(
        f"chosen: {describe(combination)}, the smallest admissible with {size} bytes "
        f"({size / full:.0%} of fp32)"
    )
    return Choice(combination, is_measured=True, reasons=tuple(reasons))


def _objection(row: SensitivityRow, reference: SensitivityRow, rule: ChoiceRule) -> str | None:
    """Return what speaks against a row, or None."""
    if not row.is_offered or row.parity is None:
        return "; ".join(f"{part} {words}" for part, words in row.effective)
    if len(row.success) != len(reference.success):
        raise UsageError(
            f"{row.describe()} ran {len(row.success)} episodes, fp32 {len(reference.success)}; "
            "success must come from the same episodes in the same order"
        )
    failed = [r.describe() for r in row.parity.rows if not r.is_passed]
    if failed:
        return "too inaccurate, " + "; ".join(failed)
    drop = sum(reference.success) - sum(row.success)
    if drop > rule.success_margin * len(row.success):
        return (
            f"solves {drop} of {len(row.success)} episodes fewer than fp32 "
            f"({sum(row.success)} against {sum(reference.success)}; margin {rule.success_margin:g})"
        )
    if row.median_ms > rule.latency_ratio * reference.median_ms:
        return (
            f"slower than fp32 by more than a factor of {rule.latency_ratio:g} "
            "on the machine that measured it"
        )
    return None


def _ranked(
    admissible: dict[str, list[str]],
    table: dict[Combination, SensitivityRow],
    reference: SensitivityRow,
) -> list[Combination]:
    """Return every product of admissible precisions, smallest first, ties by name."""

    def num_bytes(combination: Combination) -> int:
        # A part's file does not depend on the other parts, so sizes do add up.
        saved = 0
        for reduced in combination:
            if reduced[1] != REFERENCE:
                single = tuple(
                    reduced if item[0] == reduced[0] else item for item in reference.combination
                )
                saved += reference.num_bytes - table[single].num_bytes
        return reference.num_bytes - saved

    products = itertools.product(*([(p, x) for x in xs] for p, xs in admissible.items()))
    return sorted(products, key=lambda combination: (num_bytes(combination), combination))
