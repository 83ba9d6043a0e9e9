import shutil

import pytest
from command import INCLUDE

from online_retail import LAST, Shop, files_by_day


@pytest.fixture(scope="session")
def retail_files(tmp_path_factory):
    """The year of Online Retail, day by day: {day: file}."""
    return files_by_day(tmp_path_factory.mktemp("retail_files"))


@pytest.fixture(scope="session")
def at_once(retail_files, tmp_path_factory):
    """The shop of Online Retail with the whole year come in on one morning."""
    shop = Shop(tmp_path_factory.mktemp("at_once"), retail_files)
    shop.live_through([LAST])
    return shop


@pytest.fixture
def include(tmp_path):
    """A copy of every file that people edit, to be spoilt."""
    shutil.copytree(INCLUDE, tmp_path / "include")
    return tmp_path / "include"
