"""Every executor keeps the contract of executors, also when its workers are killed."""

import pytest

from steadyhand.contracts.conformance.executor import check_executor
from steadyhand.jobs.executors.local import LocalExecutor


@pytest.mark.parametrize("num_workers", [1, 2])
def test_the_local_executor_conforms(tmp_path, num_workers):
    check_executor(LocalExecutor(num_workers), tmp_path)
    assert (tmp_path / "died-once").exists()  # otherwise no worker was killed
