"""The overlay: one's own files over the shipped ones."""

import pytest

from perennial.campaigns.definition import load_campaigns
from perennial.churn.rules import load_churn_rules
from perennial.contracts import load_contracts
from perennial.flows.tables import all_models
from perennial.foundation.errors import BadConfig
from perennial.foundation.settings import SHIPPED, load_settings
from perennial.sources import load_source, source_names
from perennial.templates.compile import compile_template

SOURCE = """
source: till
contract: products
path: till/*.csv
format: csv
columns: {sku: article}
"""


@pytest.fixture
def overlay(tmp_path):
    """A function that writes files into an overlay and gives the settings that name it."""

    def write(**files):
        (tmp_path / "own").mkdir(exist_ok=True)
        for name, text in files.items():
            path = tmp_path / "own" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return load_settings(home=tmp_path / "home", include=tmp_path / "own")

    return write


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "_shared")


def test_an_empty_overlay_is_the_shipped_folder(overlay):
    settings = overlay()
    assert source_names(settings) == source_names(load_settings(include=SHIPPED))
    assert [campaign.id for campaign in load_campaigns(settings)] == names(SHIPPED / "templates")
    assert load_churn_rules(settings).high_at == 3.0


def test_a_rule_book_of_ones_own_counts_and_the_others_stay(overlay):
    text = (SHIPPED / "rules" / "churn.yaml").read_text().replace("high_at: 3.0", "high_at: 4.5")
    settings = overlay(**{"rules/churn.yaml": text})
    assert load_churn_rules(settings).high_at == 4.5
    assert settings.files.file("rules", "rfm.yaml") == SHIPPED / "rules" / "rfm.yaml"


def test_contracts_go_file_by_file(overlay):
    text = (SHIPPED / "expectations" / "products.yaml").read_text()
    settings = overlay(
        **{
            "expectations/products.yaml": text.replace("description: ", "description: Ours. "),
            "expectations/pets.yaml": text.replace("contract: products", "contract: pets"),
        }
    )
    contracts = load_contracts(settings)
    assert list(contracts) == sorted([*names_of_contracts(), "pets"])
    assert contracts["products"].description.startswith("Ours. ")
    assert contracts["products"].path == settings.include / "expectations" / "products.yaml"
    assert contracts["costs"].path == SHIPPED / "expectations" / "costs.yaml"


def names_of_contracts():
    return [path.stem for path in (SHIPPED / "expectations").glob("*.yaml")]


def test_tables_go_file_by_file(overlay):
    own = (
        "-- Ours. One row per sku.\n-- grain: sku\n-- refresh: rebuild\n-- pii: none\nselect sku from staging.products"
    )
    shipped = (SHIPPED / "sql" / "customers" / "activity.sql").read_text()
    settings = overlay(
        **{
            "sql/core/shelf.sql": own,
            "sql/customers/activity.sql": shipped.replace("-- What each", "-- Ours: what each"),
        }
    )
    models = all_models(settings)
    assert models["core.shelf"].sentence == "Ours. One row per sku."
    assert models["customers.activity"].path == settings.include / "sql" / "customers" / "activity.sql"
    assert models["customers.purchases"].path == SHIPPED / "sql" / "customers" / "purchases.sql"


def test_sources_of_ones_own_are_all_there_are(overlay):
    settings = overlay(**{"sources/till.yaml": SOURCE})
    assert source_names(settings) == ["till"]
    assert load_source("till", settings).file == settings.include / "sources" / "till.yaml"


def test_campaigns_of_ones_own_are_all_there_are_and_share_what_is_shipped(overlay):
    folder = SHIPPED / "templates" / "win_back"
    files = {
        f"templates/come_back/{path.relative_to(folder)}": path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }
    [campaign] = load_campaigns(overlay(**files))
    assert campaign.id == "come_back"
    shipped = compile_template(campaign, "en", "a")
    [campaign] = load_campaigns(
        overlay(**{"templates/_shared/footer.mjml.j2": "<mj-text>Ours {{ unsubscribe_url }}</mj-text>"})
    )
    own = compile_template(campaign, "en", "a")
    assert "Ours" in own.html
    assert "Ours" not in shipped.html


def test_a_templates_folder_without_campaigns_leaves_the_shipped_ones_out(overlay):
    assert load_campaigns(overlay(**{"templates/.keep": ""})) == ()


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("source/till.yaml", r"own/source: nothing reads this folder\. Known folders: expectations, rules, sources"),
        ("rules/chrun.yaml", r"own/rules/chrun\.yaml: nothing reads this file\. Known rule books: churn\.yaml"),
    ],
)
def test_what_nothing_reads_is_refused(overlay, file, told):
    with pytest.raises(BadConfig, match=f"PERENNIAL_INCLUDE: .*{told}"):
        overlay(**{file: ""})


def test_a_readme_and_hidden_folders_are_no_concern(overlay):
    assert source_names(overlay(**{"README.md": "", ".git/x": "", "__pycache__/x": ""}))


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BadConfig, match=r"PERENNIAL_INCLUDE: .*elsewhere: no such folder"):
        load_settings(include=tmp_path / "elsewhere")


def test_an_error_names_the_file_that_counts(overlay):
    with pytest.raises(BadConfig, match=r"own/rules/churn\.yaml: unknown field high"):
        load_churn_rules(overlay(**{"rules/churn.yaml": "high: 3"}))


def test_an_unknown_contract_lists_those_of_both_folders(overlay):
    settings = overlay(**{"sources/till.yaml": SOURCE.replace("products", "prodcuts"), "expectations/pets.yaml": ""})
    with pytest.raises(BadConfig, match=r"no such contract 'prodcuts'\. Known contracts: consents, .*, pets, products"):
        load_source("till", settings)
