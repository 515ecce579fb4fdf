"""What the README says of the settings is what the settings say."""

from pathlib import Path

from serve.cli.readme import rendered
from serve.settings import Settings

README = Path(__file__).parents[2] / "README.md"


def test_the_table_of_settings_is_the_settings() -> None:
    assert README.read_text() == rendered(README.read_text()), "run `make render`"


def test_every_setting_says_what_it_is_and_why() -> None:
    assert [variable for variable, description, _ in Settings.defaults() if len(description) < 15] == []
