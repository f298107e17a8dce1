"""Tests of the app settings: names, defaults, ranges, and how wrong ones are reported."""

import json
from pathlib import Path

import pytest

from ingest_core.errors import InvalidSettings
from ingest_core.settings import (
    DEFAULT_SCHEDULE,
    FAST_SCHEDULE,
    read_settings,
    schedule_of,
    slow_schedule_message,
    unknown_settings,
)


def problems(**values: str) -> tuple[str, ...]:
    """What is reported about these settings."""
    with pytest.raises(InvalidSettings) as caught:
        read_settings(values)
    return caught.value.problems


def test_everything_has_a_default() -> None:
    """The documented ones. Whether storage is given, the storage connection says."""
    settings = read_settings({})
    assert (settings.interval, settings.lease_seconds, settings.batch_size) == (5, 25, 3)
    assert (settings.max_in_flight, settings.retention_days, settings.ended_queue) == (3, 30, "")
    assert (settings.max_ids, settings.max_attempts) == (100_000, 5)
    assert (settings.source, settings.source_delay, settings.source_timeout) == ("simulated", 0.1, 10)
    assert schedule_of({}) == DEFAULT_SCHEDULE == "*/5 * * * * *"


def test_an_empty_setting_counts_as_unset() -> None:
    """As a portal leaves it behind."""
    assert read_settings({"INGEST_INTERVAL_SECONDS": " "}).interval == 5


def test_the_lease_follows_the_timeout() -> None:
    """Timeout + 15, unless it is set."""
    assert read_settings({"INGEST_SOURCE_TIMEOUT_SECONDS": "3"}).lease_seconds == 18
    assert read_settings({"INGEST_SOURCE_TIMEOUT_SECONDS": "3", "INGEST_LEASE_SECONDS": "5"}).lease_seconds == 5
    assert problems(INGEST_SOURCE_TIMEOUT_SECONDS="3", INGEST_LEASE_SECONDS="4.9")[0].startswith(
        "INGEST_LEASE_SECONDS: must be at least INGEST_SOURCE_TIMEOUT_SECONDS + 2 = 5"
    )


@pytest.mark.parametrize(
    ("timeout", "interval", "most"),
    [
        ("10", "5", 3), ("10", "3", 5), ("10", "60", 2), ("0.1", "3600", 2), ("5", "5", 2), ("5.1", "5", 3),
        ("300", "0.1", 16), ("1.5", "0.1", 16), ("1.4", "0.1", 15), ("0.6", "0.2", 4), ("0.3", "0.1", 4),
    ],
)  # fmt: skip
def test_as_many_batches_run_at_once_as_the_timeout_can_keep_running(timeout: str, interval: str, most: int) -> None:
    """Timeout / interval, rounded up, + 1, from 2 to 16; what is set counts as it is."""
    values = {"INGEST_SOURCE_TIMEOUT_SECONDS": timeout, "INGEST_INTERVAL_SECONDS": interval}
    assert read_settings(values).max_in_flight == most
    assert read_settings({**values, "INGEST_MAX_IN_FLIGHT": "1"}).max_in_flight == 1


OWN_QUEUES = [f"ingest-{lane}{end}" for lane in ("high", "medium", "low") for end in ("", "-poison")]


@pytest.mark.parametrize("name", ["abc", "a" * 63, "ingest-ended", "7-x-7", "123"])
def test_a_queue_for_ended_ingestions_may_have_any_name_of_a_queue(name: str) -> None:
    """As the queue service takes it."""
    assert read_settings({"INGEST_ENDED_QUEUE": name}).ended_queue == name


@pytest.mark.parametrize(
    "name", ["ab", "a" * 64, "Abc", "a--b", "-ab", "ab-", "a_b", "a.b", "a b", "äbc", "abc\n-", *OWN_QUEUES]
)
def test_no_other_name_is_taken(name: str) -> None:
    """The service's own queues hold something else."""
    (line,) = problems(INGEST_ENDED_QUEUE=name)
    assert line.startswith("INGEST_ENDED_QUEUE: must ")
    assert "\n" not in line


@pytest.mark.parametrize("name", ["simulated", "http", "module:Name", "package.module_1:_Name2"])
def test_a_source_is_built_in_or_a_class_of_ones_own(name: str) -> None:
    """Whether the class exists is seen when the source is made."""
    values = {"INGEST_SOURCE": name, "INGEST_SOURCE_URL": "https://api.example.com/{id}"}
    assert read_settings(values).source == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INGEST_INTERVAL_SECONDS", "0"), ("INGEST_INTERVAL_SECONDS", "nan"), ("INGEST_INTERVAL_SECONDS", "inf"),
        ("INGEST_INTERVAL_SECONDS", "five"), ("INGEST_INTERVAL_SECONDS", "4000"), ("INGEST_BATCH_SIZE", "0"),
        ("INGEST_BATCH_SIZE", "2.5"), ("INGEST_MAX_IDS", "200001"), ("INGEST_MAX_ATTEMPTS", "0"),
        ("INGEST_LEASE_SECONDS", "11"), ("INGEST_SOURCE", "ftp"), ("INGEST_SOURCE", "HTTP"), ("INGEST_SOURCE", "a.b"),
        ("INGEST_SOURCE", "a:"), ("INGEST_SOURCE", ":a"), ("INGEST_SOURCE", "a..b:C"), ("INGEST_SOURCE", "a.b:C.D"),
        ("INGEST_SOURCE", "https://secret@a:1"), ("INGEST_SOURCE", "1a:B"), ("INGEST_SOURCE", "ä:B"),
        ("INGEST_LEASE_SECONDS", "0"), ("INGEST_LEASE_SECONDS", "-1"), ("INGEST_LEASE_SECONDS", "nan"),
        ("INGEST_MAX_IN_FLIGHT", "2.5"), ("INGEST_RETENTION_DAYS", "0.5"), ("INGEST_RETENTION_DAYS", "for ever"),
        ("INGEST_SOURCE_DELAY_SECONDS", "-1"),
        ("INGEST_SOURCE_TIMEOUT_SECONDS", "0"), ("INGEST_SOURCE_URL", "ftp://example.com/{id}"),
        ("INGEST_SOURCE_URL", "https://example.com/"), ("INGEST_SOURCE_HEADERS", "Bearer secret"),
        ("INGEST_MAX_RETRY_AFTER_SECONDS", "0"), ("INGEST_SCHEDULE", "whenever"), ("INGEST_SCHEDULE", "00:00:05"),
        ("INGEST_SCHEDULE", "%UNSET%"), ("INGEST_SCHEDULE", "60 * * * * *"), ("INGEST_SCHEDULE", "a b c d e f"),
        ("INGEST_SCHEDULE", "* 24 * * *"), ("INGEST_SCHEDULE", "* * * * * 7"), ("INGEST_SCHEDULE", "*/ * * * * *"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_reported_by_name(name: str, value: str) -> None:
    """In one line that says what it must be, without its value: that may be a secret."""
    (line,) = problems(**{"INGEST_SOURCE": "simulated", name: value})
    assert line.startswith(f"{name}: ")
    assert "\n" not in line
    assert "secret" not in line


RANGES = {
    "INGEST_INTERVAL_SECONDS": ("0.09", "0.1", "3600", "3600.1"),
    "INGEST_LEASE_SECONDS": ("11.9", "12", "86400", "86400.1"),  # the timeout is 10
    "INGEST_MAX_IN_FLIGHT": ("0", "1", "16", "17"),
    "INGEST_RETENTION_DAYS": ("-1", "0", "3650", "3651"),
    "INGEST_BATCH_SIZE": ("0", "1", "100", "101"),
    "INGEST_MAX_IDS": ("0", "1", "200000", "200001"),
    "INGEST_MAX_ATTEMPTS": ("0", "1", "20", "21"),
    "INGEST_SOURCE_DELAY_SECONDS": ("-0.1", "0", "3600", "3600.1"),
    "INGEST_SOURCE_TIMEOUT_SECONDS": ("0.09", "0.1", "300", "300.1"),
    "INGEST_MAX_RETRY_AFTER_SECONDS": ("0.9", "1", "86400", "86400.1"),
}


@pytest.mark.parametrize(("name", "values"), RANGES.items(), ids=RANGES)
def test_a_range_holds_both_its_ends_and_nothing_beyond(name: str, values: tuple[str, str, str, str]) -> None:
    """The README states them."""
    below, least, most, above = values
    for value in (least, most):
        read_settings({name: value})
    for value in (below, above):
        assert [line.split(":")[0] for line in problems(**{name: value})] == [name]


def test_every_wrong_setting_is_reported_at_once() -> None:
    """One restart is enough to fix them."""
    found = problems(INGEST_INTERVAL_SECONDS="x", INGEST_BATCH_SIZE="0", INGEST_SCHEDULE="x")
    assert [text.split(":")[0] for text in found] == [
        "INGEST_SCHEDULE", "INGEST_INTERVAL_SECONDS", "INGEST_BATCH_SIZE",
    ]  # fmt: skip


def test_a_wrong_setting_hides_no_other() -> None:
    """Also where one is judged by another."""
    found = problems(INGEST_BATCH_SIZE="0", INGEST_LEASE_SECONDS="11", INGEST_SOURCE="http")
    assert [text.split(":")[0] for text in found] == [
        "INGEST_SOURCE_URL", "INGEST_BATCH_SIZE", "INGEST_LEASE_SECONDS",
    ]  # fmt: skip
    (about_the_number,) = problems(INGEST_SOURCE_TIMEOUT_SECONDS="soon", INGEST_LEASE_SECONDS="3")
    assert about_the_number == "INGEST_SOURCE_TIMEOUT_SECONDS: must be a valid number"


def test_the_http_source_needs_a_url() -> None:
    """It has no default."""
    assert problems(INGEST_SOURCE="http")[0].startswith("INGEST_SOURCE_URL: ")


def test_a_url_needs_the_http_source() -> None:
    """Otherwise simulated items would be taken for the API's."""
    url = {"INGEST_SOURCE_URL": "https://api.example.com/{id}"}
    assert problems(**url)[0].startswith("INGEST_SOURCE: ")
    assert read_settings({**url, "INGEST_SOURCE": "simulated"}).source == "simulated"


def test_a_misspelt_name_is_noticed() -> None:
    """It would leave a default in force."""
    assert unknown_settings({"INGEST_INTERVAL": "1", "INGEST_MAX_IDS": "9", "INGEST_SCHEDULE": ""}) == [
        "INGEST_INTERVAL"
    ]


@pytest.mark.parametrize(
    "schedule", ["*/1 * * * * *", "0 */5 * * * MON-FRI", "* * * * *", "0,30 5-10 */90 1 january,3 sun"]
)
def test_a_schedule_is_taken_as_given(schedule: str) -> None:
    """Five or six fields."""
    assert schedule_of({"INGEST_SCHEDULE": schedule}) == schedule


def test_a_wrong_schedule_gives_way_to_the_default() -> None:
    """The host would refuse to index the function, and nothing would ever be dispatched."""
    assert schedule_of({"INGEST_SCHEDULE": "whenever"}) == DEFAULT_SCHEDULE


@pytest.mark.parametrize(
    ("interval", "schedule"),
    [
        ("", DEFAULT_SCHEDULE), ("5", DEFAULT_SCHEDULE), ("3600", DEFAULT_SCHEDULE), ("4.9", FAST_SCHEDULE),
        ("0.1", FAST_SCHEDULE), (" 1 ", FAST_SCHEDULE), ("soon", DEFAULT_SCHEDULE), ("nan", DEFAULT_SCHEDULE),
    ],
)  # fmt: skip
def test_a_schedule_that_is_not_set_follows_the_interval(interval: str, schedule: str) -> None:
    """Every five seconds, or every second for a shorter interval; it never raises."""
    assert schedule_of({"INGEST_INTERVAL_SECONDS": interval}) == schedule
    assert schedule_of({"INGEST_INTERVAL_SECONDS": interval, "INGEST_SCHEDULE": "whenever"}) == schedule
    assert schedule_of({"INGEST_INTERVAL_SECONDS": interval, "INGEST_SCHEDULE": "*/7 * * * * *"}) == "*/7 * * * * *"


@pytest.mark.parametrize(
    ("schedule", "interval", "gap"),
    [
        ("", 0.1, None), ("whenever", 5, None), ("*/5 * * * * *", 5, None), ("*/1 * * * * *", 0.1, None),
        ("*/5 * * * * *", 4.9, 5), ("*/5 * * * * *", 0.2, 5), ("*/10 * * * * *", 5, 10), ("* * * * *", 60, None),
        ("* * * * *", 59, 60), ("*/2 * * * * *", 2, None), ("* * * * * MON-FRI", 3600, 86_400),
    ],
)  # fmt: skip
def test_a_schedule_that_is_slower_than_the_interval_needs_is_named(
    schedule: str, interval: float, gap: int | None
) -> None:
    """It says how long nothing can start."""
    message = slow_schedule_message({"INGEST_SCHEDULE": schedule}, interval=interval)
    if gap is None:
        assert message is None
    else:
        assert message is not None
        assert message.startswith(f"INGEST_SCHEDULE: leaves gaps of at least {gap} s ")


def test_the_repositorys_settings_are_those_of_the_emulator() -> None:
    """No secret, nothing encrypted, and valid."""
    file = json.loads((Path(__file__).parents[2] / "local.settings.json").read_text())
    assert file["IsEncrypted"] is False
    assert file["Values"]["AzureWebJobsStorage"] == "UseDevelopmentStorage=true"
    assert read_settings(file["Values"]) == read_settings({})
