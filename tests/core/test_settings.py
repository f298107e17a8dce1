"""Tests of the app settings: names, defaults, ranges, and how wrong ones are reported."""

import json
from pathlib import Path

import pytest

from ingest_core.errors import InvalidSettings
from ingest_core.settings import DEFAULT_SCHEDULE, read_settings, schedule_of, unknown_settings

STORAGE = {"AzureWebJobsStorage": "UseDevelopmentStorage=true"}


def problems(**values: str) -> tuple[str, ...]:
    """What is reported about these settings."""
    with pytest.raises(InvalidSettings) as caught:
        read_settings({**STORAGE, **values})
    return caught.value.problems


def test_everything_but_storage_has_a_default() -> None:
    """The documented ones."""
    settings = read_settings(STORAGE)
    assert (settings.interval, settings.lease_seconds, settings.batch_size) == (5, 20, 3)
    assert (settings.max_ids, settings.max_attempts) == (100_000, 5)
    assert (settings.source, settings.source_delay, settings.source_timeout) == ("simulated", 0.1, 10)
    assert schedule_of({}) == DEFAULT_SCHEDULE == "*/5 * * * * *"


def test_an_empty_setting_counts_as_unset() -> None:
    """As a portal leaves it behind."""
    assert read_settings({**STORAGE, "INGEST_INTERVAL_SECONDS": " "}).interval == 5


def test_the_lease_follows_the_interval_and_the_timeout() -> None:
    """Interval + timeout + 5."""
    settings = read_settings({**STORAGE, "INGEST_INTERVAL_SECONDS": "2", "INGEST_SOURCE_TIMEOUT_SECONDS": "3"})
    assert settings.lease_seconds == 10


def test_storage_must_be_given() -> None:
    """By name."""
    with pytest.raises(InvalidSettings) as caught:
        read_settings({})
    assert [text.split(":")[0] for text in caught.value.problems] == ["AzureWebJobsStorage"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INGEST_INTERVAL_SECONDS", "0"), ("INGEST_INTERVAL_SECONDS", "nan"), ("INGEST_INTERVAL_SECONDS", "inf"),
        ("INGEST_INTERVAL_SECONDS", "five"), ("INGEST_INTERVAL_SECONDS", "4000"), ("INGEST_BATCH_SIZE", "0"),
        ("INGEST_BATCH_SIZE", "2.5"), ("INGEST_MAX_IDS", "200001"), ("INGEST_MAX_ATTEMPTS", "0"),
        ("INGEST_LEASE_SECONDS", "16"), ("INGEST_SOURCE", "ftp"), ("INGEST_SOURCE_DELAY_SECONDS", "-1"),
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
    "INGEST_LEASE_SECONDS": ("16.9", "17", "86400", "86400.1"),  # the interval is 5, the timeout 10
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
        read_settings({**STORAGE, name: value})
    for value in (below, above):
        assert [line.split(":")[0] for line in problems(**{name: value})] == [name]


def test_every_wrong_setting_is_reported_at_once() -> None:
    """One restart is enough to mend them."""
    found = problems(INGEST_INTERVAL_SECONDS="x", INGEST_BATCH_SIZE="0", INGEST_SCHEDULE="x")
    assert [text.split(":")[0] for text in found] == [
        "INGEST_SCHEDULE", "INGEST_INTERVAL_SECONDS", "INGEST_BATCH_SIZE",
    ]  # fmt: skip


def test_a_wrong_setting_hides_no_other() -> None:
    """Also where one is judged by another."""
    found = problems(INGEST_BATCH_SIZE="0", INGEST_LEASE_SECONDS="16", INGEST_SOURCE="http")
    assert [text.split(":")[0] for text in found] == [
        "INGEST_SOURCE_URL", "INGEST_BATCH_SIZE", "INGEST_LEASE_SECONDS",
    ]  # fmt: skip
    (about_the_number,) = problems(INGEST_INTERVAL_SECONDS="soon", INGEST_LEASE_SECONDS="13")
    assert about_the_number == "INGEST_INTERVAL_SECONDS: must be a valid number"


def test_the_http_source_needs_a_url() -> None:
    """It has no default."""
    assert problems(INGEST_SOURCE="http")[0].startswith("INGEST_SOURCE_URL: ")


def test_a_url_needs_the_http_source() -> None:
    """Or made-up items would be taken for the API's; who wants those says so."""
    url = {"INGEST_SOURCE_URL": "https://api.example.com/{id}"}
    assert problems(**url)[0].startswith("INGEST_SOURCE: ")
    assert read_settings({**STORAGE, **url, "INGEST_SOURCE": "simulated"}).source == "simulated"


def test_a_misspelt_name_is_noticed() -> None:
    """It would leave a default in force."""
    assert unknown_settings({**STORAGE, "INGEST_INTERVAL": "1", "INGEST_MAX_IDS": "9", "INGEST_SCHEDULE": ""}) == [
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


def test_the_repositorys_settings_are_those_of_the_emulator() -> None:
    """No secret, nothing encrypted, and valid."""
    file = json.loads((Path(__file__).parents[2] / "local.settings.json").read_text())
    assert file["IsEncrypted"] is False
    assert read_settings(file["Values"]).connection_string == "UseDevelopmentStorage=true"
