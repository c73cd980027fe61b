from serving.standin.monitoring import Metrics


def test_counters_and_histograms_are_text_for_prometheus() -> None:
    metrics = Metrics()
    metrics.count(":a", model_name='m"\\\n', status="OK")
    metrics.count(":a", model_name='m"\\\n', status="OK")
    with metrics.timed(":b", API="predict"):
        pass
    lines = metrics.render().decode().splitlines()
    assert lines[:3] == ["# TYPE :a counter", ':a{model_name="m\\"\\\\\\n",status="OK"} 2', "# TYPE :b histogram"]
    assert lines[3].startswith(':b_bucket{API="predict",le="10"} ')
    assert lines[-3:][0] == ':b_bucket{API="predict",le="+Inf"} 1'
    assert lines[-1] == ':b_count{API="predict"} 1'
    assert len(lines) == 3 + 34 + 2


def test_failures_are_not_timed() -> None:
    metrics = Metrics()
    try:
        with metrics.timed(":b"):
            raise ValueError
    except ValueError:
        assert metrics.render() == b""
