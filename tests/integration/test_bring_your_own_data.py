"""docs/bring-your-own-data.md, done to the letter: every command is run, every line of output shown is what it says."""

import csv
import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/bring-your-own-data.md").read_text(encoding="utf-8")
REAL = ROOT.parent / "shared/data/complete_journey"
HEADER = TEXT.split("```text\n")[1].splitlines()[0].split(",")  # of the file that the page shows
END = "===== end of a block ====="


def _blocks():
    """The commands of the page, each with the lines of output shown below it."""
    found = re.findall(r"```sh\n(.*?)```(?:\n```text\n(.*?)```)?", TEXT, flags=re.DOTALL)
    return [(commands, shown.splitlines()) for commands, shown in found]


def _walk(folder):
    """Run all commands of the page in one shell, as its reader would; the output of each block."""
    script = "".join(f"{commands}\necho '{END}'\n" for commands, _ in _blocks())
    environment = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
    }
    done = subprocess.run(
        ["sh", "-euc", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    *outputs, rest = done.stdout.replace(str(folder / "shop"), "…").split(f"{END}\n")
    assert rest == ""
    return outputs


def _small_sales(path):
    """Lines of the same shape: people 1 to 40 and 2261 who buy each week, petrol, a line of nothing, UTC evenings."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        basket = 31_000_000_000  # past 32 bits
        for person in [*range(1, 41), 2261]:
            for week in range(1, 53 if person % 4 else 20):  # each fourth stays away since May
                basket += 1
                day = f"2017-{(week - 1) // 4 % 12 + 1:02}-{week % 28 + 1:02}"
                for product, quantity, value in (
                    (900, "1.0", "3.86"),
                    (901, "2.0", "5.0"),
                    (6534178, "9000.0", "21.6"),
                ):
                    writer.writerow([person, 1, basket, product, quantity, value, 0, 0, 0, week, f"{day} 20:15:00"])
        writer.writerow([5, 1, basket + 1, 902, "0.0", "0.0", 0, 0, 0, 53, "2017-12-31 20:00:00"])
        writer.writerow([6, 1, basket + 2, 900, "1.0", "3.86", 0, 0, 0, 53, "2018-01-01 03:47:38"])


def _small_people(path):
    path.write_text("household_id,age,income\n" + "".join(f"{person},35-44,35-49K\n" for person in range(1, 41)))


@pytest.mark.slow
@pytest.mark.skipif(REAL.exists(), reason="the real file is there, and takes the same way")
def test_the_commands_of_the_page_take_a_small_file_to_decisions(tmp_path):
    _small_sales(tmp_path / "sales.csv")
    _small_people(tmp_path / "people.csv")
    outputs = dict(zip((commands for commands, _ in _blocks()), _walk(tmp_path), strict=True))

    def output_of(words):
        (found,) = [output for commands, output in outputs.items() if words in commands]
        return found

    lines = 3 * (31 * 52 + 10 * 19) + 2
    sales = {
        words: re.search(r"^  sales +([\d, ]+) ", output_of(words), flags=re.MULTILINE)[1].split()
        for words in ("perennial run --day", "perennial rebuild")
    }
    assert sales["perennial run --day"] == [f"{lines:,}", f"{lines - 2:,}", "0", "0", "1", "1"]
    assert sales["perennial rebuild"] == [f"{lines:,}", f"{lines - 1:,}", "0", "0", "1", "0"]
    assert '"sales_value":"0.0"' in output_of("perennial quarantine show")
    assert "average order 3.86 USD" in output_of("perennial rebuild")
    sent = output_of("ls trial/mailbox")
    assert len(re.findall(r"\.eml$", sent, flags=re.MULTILINE)) == int(re.search(r"win_back +│ send +│ (\d+)", sent)[1])


@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is not there")
def test_the_page_shows_what_really_happens_with_the_real_file(tmp_path):
    for packed, name in (("transactions_sample", "sales"), ("demographics", "people")):
        (tmp_path / f"{name}.csv").write_bytes(gzip.decompress((REAL / f"{packed}.csv.gz").read_bytes()))
    shown_at_all = 0
    for (commands, shown), output in zip(_blocks(), _walk(tmp_path), strict=True):
        for line in shown:
            assert _plain(line) in _plain(output), (commands, line, output)
            shown_at_all += 1
    assert shown_at_all > 20
    assert len(list((tmp_path / "shop/trial/mailbox").glob("*.eml"))) == 40


def _plain(text):
    """Without the padding of tables, which depends on what else is in them, and the narrow space before a %."""
    return re.sub(r"[ \u202f]+", " ", text)
