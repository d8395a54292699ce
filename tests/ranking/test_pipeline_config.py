"""What a person may write of a pipeline as text."""

from typing import Any

import pytest

from zhiyin.errors import ConfigError
from zhiyin.ranking.pipeline_config import PipelineConfig, RankerChoice
from zhiyin.ranking.table import FeaturesConfig


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"ranker": " logistic"}, {"ranker": RankerChoice(ranker="logistic")}),
        (
            {"ranker": '{"ranker": "blend", "settings": {"balance": true}}'},
            {"ranker": RankerChoice(ranker="blend", settings={"balance": True})},
        ),
        ({"features": "popularity, activity"}, {"features": FeaturesConfig(families="popularity, activity")}),  # type: ignore[arg-type]
        ({"features": ["popularity"]}, {"features": FeaturesConfig(families="popularity")}),  # type: ignore[arg-type]
        ({"features": '{"families": "pair", "history": 5}'}, {"features": FeaturesConfig(families="pair", history=5)}),  # type: ignore[arg-type]
        ({"rerankers": "novelty"}, {"rerankers": ["novelty"]}),
        ({"rules": '[{"rule": "stock"}]'}, {"rules": [{"rule": "stock"}]}),
    ],
)
def test_what_is_written_as_text_is_what_is_meant(said: dict[str, Any], meant: dict[str, Any]) -> None:
    assert PipelineConfig.read(said) == PipelineConfig.read(meant)


@pytest.mark.parametrize(("said", "message"), [({"ranker": "{blend"}, "ranker"), ({"features": 3}, "features")])
def test_what_is_no_setting_is_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PipelineConfig.read(said)
