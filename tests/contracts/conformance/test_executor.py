"""The kit passes a plain loop, and names what other executors do wrong."""

import pytest

from steadyhand.contracts.conformance.executor import check_executor
from steadyhand.contracts.errors import ConformanceError, StageError, SteadyError


class Loop:
    """Runs units here, one after the other, with one defect of choice."""

    num_workers = 1

    def __init__(self, defect=""):
        self.defect = defect
        self.is_broken = False

    def map(self, function, items):
        if self.is_broken:
            raise RuntimeError("broken by an earlier failure")
        if self.defect == "reversed":
            items = items[::-1]
        for i, item in enumerate(items):
            if self.defect == "loses one" and i == 7:
                continue
            try:
                yield function(item)
            except SteadyError as error:
                if self.defect == "rewraps":
                    raise StageError(str(error)) from error
                raise
            except ZeroDivisionError as error:
                self.is_broken = self.defect == "breaks"
                if self.defect == "lets it through":
                    raise
                text = "it failed" if self.defect == "hides the reason" else repr(error)
                raise StageError(text) from error

    def close(self):
        pass


def test_an_executor_that_keeps_the_contract_passes(tmp_path):
    check_executor(Loop(), tmp_path)


@pytest.mark.parametrize(
    ("defect", "violation"),
    [
        ("reversed", "results must come in the order of the items"),
        ("loses one", "losing a worker must lose no unit"),
        ("rewraps", "SteadyError must come out unchanged: must raise DataError, raised StageError"),
        ("lets it through", "must raise StageError, raised ZeroDivisionError"),
        ("hides the reason", "the last failure is not inside: it failed"),
        ("breaks", r"map\(\) after failures: raised RuntimeError"),
    ],
)
def test_a_broken_rule_is_named(tmp_path, defect, violation):
    with pytest.raises(ConformanceError, match=violation):
        check_executor(Loop(defect), tmp_path)
