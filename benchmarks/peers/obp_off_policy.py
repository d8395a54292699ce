"""Off-policy estimates by the Open Bandit Pipeline (obp), the reference that `off_policy.py` is held against.

    python obp_off_policy.py IN.npz OUT.json

Run by the Python of an environment that has obp 0.5.7 (`pip install --no-deps --ignore-requires-python obp==0.5.7`),
numpy, pandas, scikit-learn and torch. Only its estimators are imported: the rest of the package asks for more.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np


def estimators() -> types.ModuleType:
    """The module of estimators, without what its packages import beside it."""
    found = importlib.util.find_spec("obp")
    assert found is not None
    assert found.submodule_search_locations is not None
    root = Path(next(iter(found.submodule_search_locations)))
    for name, folder in (("obp", root), ("obp.ope", root / "ope")):
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    return importlib.import_module("obp.ope.estimators")


def main() -> None:
    given, module = np.load(sys.argv[1]), estimators()
    logged = {"reward": given["reward"], "action": given["item"], "pscore": given["propensity"]}
    logged["position"] = np.zeros(len(given["item"]), int)
    told = {"estimated_rewards_by_reg_model": given["expected"][:, :, None]}
    chances = given["chances"][:, :, None]
    made = {
        "ips": module.InverseProbabilityWeighting(),
        "snips": module.SelfNormalizedInverseProbabilityWeighting(),
        "direct": module.DirectMethod(),
        "doubly_robust": module.DoublyRobust(),
    }
    found = {}
    for name, one in made.items():
        more = told if name in ("direct", "doubly_robust") else {}
        found[name] = float(one.estimate_policy_value(action_dist=chances, **logged, **more))
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
