from zhiyin.metrics import MAE


def test_every_step_weighs_alike_in_both_directions() -> None:
    assert MAE()([1, 2, 3, 4], [1, 2, 3, 8]) == MAE()([1, 2, 3, 4], [1, 2, 5, 2]) == 1
    assert MAE().higher_is_better is False
