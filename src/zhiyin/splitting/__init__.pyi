# Written by `make stubs`; edit the files of the room instead.
from typing import Any

from zhiyin.splitting.cold_items import ColdItems as ColdItems
from zhiyin.splitting.global_time import GlobalTime as GlobalTime
from zhiyin.splitting.leave_last_out import LeaveLastOut as LeaveLastOut
from zhiyin.splitting.user_holdout import UserHoldout as UserHoldout

def available() -> tuple[str, ...]: ...
def get(name: str) -> Any: ...
