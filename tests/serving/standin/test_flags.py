import pytest

from serving.standin.flags import FlagError, Flags, channel_arguments, parse_flags, usage

ENOUGH = ["--rest_api_port=8501", "--model_base_path=/models/m"]


def test_values_stand_behind_an_equals_sign_and_a_bool_may_stand_alone() -> None:
    flags, unknown = parse_flags([*ENOUGH, "--enable_batching", "--enable_model_warmup=false", "--model_name=a=b"])
    assert flags.rest_api_port == 8501
    assert (flags.enable_batching, flags.enable_model_warmup, flags.model_name) == (True, False, "a=b")
    assert unknown == []


def test_of_two_the_later_wins() -> None:
    assert parse_flags([*ENOUGH, "--rest_api_port=9"])[0].rest_api_port == 9


def test_what_is_no_flag_is_passed_over() -> None:
    flags, unknown = parse_flags([*ENOUGH, "--nonsense=1", "--model_name", "m", "-x"])
    assert unknown == ["--nonsense=1", "--model_name", "m", "-x"]
    assert flags.model_name == "default"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "must say what to serve"),
        (["--model_base_path=/m"], "must name a port"),
        ([*ENOUGH, "--rest_api_num_threads=many"], "Couldn't interpret value many for flag rest_api_num_threads"),
        ([*ENOUGH, "--tensorflow_intra_op_parallelism=2147483648"], "Couldn't interpret value 2147483648 for flag"),
        ([*ENOUGH, "--rest_api_timeout_in_ms=-99999999999"], "Couldn't interpret value -99999999999 for flag"),
        ([*ENOUGH, "--port=65536"], "--port must name a port, 1 to 65535, or be 0"),
        ([*ENOUGH, "--grpc_channel_arguments=a=1,b"], "--grpc_channel_arguments: b has no value"),
        ([*ENOUGH, "--enable_batching=perhaps"], "Couldn't interpret value perhaps"),
        ([*ENOUGH, "--batching_parameters_file=b"], "without --enable_batching"),
        (
            [*ENOUGH, *(f"--tensorflow_{kind}_parallelism=1" for kind in ("session", "intra_op", "inter_op"))],
            "excludes",
        ),
    ],
)
def test_flags_that_make_no_sense_stop_the_start(arguments: list[str], message: str) -> None:
    with pytest.raises(FlagError, match=message):
        parse_flags(arguments)


def test_microseconds_have_64_bits_and_other_numbers_32() -> None:
    flags, _ = parse_flags([*ENOUGH, "--load_retry_interval_micros=86400000000", "--num_load_threads=2147483647"])
    assert (flags.load_retry_interval_micros, flags.num_load_threads) == (86_400_000_000, 2_147_483_647)


def test_channel_arguments_are_numbers_where_they_can_be() -> None:
    flags, _ = parse_flags([*ENOUGH, "--grpc_channel_arguments=a=-1,b=text"])
    assert channel_arguments(flags) == [("a", -1), ("b", "text")]


def test_help_needs_no_other_flag_and_names_them_all() -> None:
    assert parse_flags(["--help"])[0].help
    assert all(f"--{name}=" in usage("standin") for name in Flags.__dataclass_fields__)
