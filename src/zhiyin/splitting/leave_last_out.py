"""Leave last out: the last event of each user is the test, the one before it validation (Kang & McAuley, ICDM 2018).

The protocol of most published tables of sequential recommenders. It leaks time: one user's training events may be later
than another user's test event.
"""

from __future__ import annotations

from zhiyin.config import setting
from zhiyin.data.dataset import Dataset
from zhiyin.splitting.base import Cases, Splitter, SplitterConfig, cases_of


class LeaveLastOutConfig(SplitterConfig):
    """Settings of `leave_last_out`."""

    minimum_history: int = setting(1, ge=0)
    """Users with fewer events than this before their validation event are not tested (but trained on)."""
    drop_seen: bool = False
    """Leave out cases whose target is in the history already (a repeat, which `exclude_seen` can never find)."""


class LeaveLastOut(Splitter):
    """Test on each user's last event, validate on the one before it."""

    config: LeaveLastOutConfig
    leaks = (
        "leave_last_out leaks time: training events of some users are later than the test event of others, "
        "so its numbers are for comparison with published tables, not for what to expect live"
    )

    def _split(self, dataset: Dataset) -> tuple[Dataset, Cases | None, Dataset, Cases]:
        dataset.need("position", self.name)
        histories = dataset.histories
        from_end = histories.from_end()
        long_enough = (histories.lengths >= self.config.minimum_history + 2).repeat(histories.lengths)
        test, validation = long_enough & (from_end == 0), long_enough & (from_end == 1)
        train = ~(test | validation)
        return (
            dataset.keep(train),
            self._cases(cases_of(dataset, train, validation)),
            dataset.keep(~test),
            self._cases(cases_of(dataset, ~test, test)),
        )

    def _cases(self, cases: Cases) -> Cases:
        if not self.config.drop_seen:
            return cases
        seen = [
            target in history
            for target, history in zip(
                cases.targets.item,
                (cases.queries.histories.of(row) for row in range(len(cases))),
                strict=True,
            )
        ]
        return cases.take([row for row, repeat in enumerate(seen) if not repeat])
