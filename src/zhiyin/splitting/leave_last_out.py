"""Leave last out: the last event of each user is the test, the one before it validation (Kang & McAuley, ICDM 2018).

The protocol of most published tables of sequential recommenders. It leaks time: one user's training events may be later
than another user's test event. It needs only the order of events, so it is also the one for data without times.
"""

from __future__ import annotations

from zhiyin.config import setting
from zhiyin.data.dataset import Dataset
from zhiyin.splitting.base import Parts, Splitter, SplitterConfig, cases_of


class LeaveLastOutConfig(SplitterConfig):
    """Settings of `leave_last_out`."""

    minimum_history: int = setting(1, ge=0)
    """Users with fewer events than this before their validation event are not tested (but trained on)."""


class LeaveLastOut(Splitter):
    """Test on each user's last event, validate on the one before it.

    The moment of a query (`now`) is that of its target. Events of the user at that very moment, before the target in
    the tie rule's order, stay in the history: with many ties, compare `ties=stable` with `ties=shuffle`.

    Raises:
        DataError: the order of events is not known.
    """

    config: LeaveLastOutConfig
    leaks = (
        "leave_last_out leaks time: training events of some users are later than the test event of others, "
        "so its numbers are for comparison with published tables, not for what to expect live"
    )

    def _split(self, dataset: Dataset) -> Parts:
        dataset.need("position", self.name, "user_holdout and cold_items need none")
        histories = dataset.histories
        from_end = histories.from_end()
        long_enough = (histories.lengths >= self.config.minimum_history + 2).repeat(histories.lengths)
        test, validation = long_enough & (from_end == 0), long_enough & (from_end == 1)
        train = ~(test | validation)
        return (
            dataset.keep(train),
            cases_of(dataset, train, validation),
            dataset.keep(~test),
            cases_of(dataset, ~test, test),
        )
