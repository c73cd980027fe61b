"""`python -m training validate` as a whole, on folders of drawn pictures."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.training import data_sets
from tests.training.data_sets import Fault
from training.cli import app, main
from training.data.findings import Finding
from training.data.page import Facts, page, pictured
from training.data.pictures import Workers
from training.data.validate import Report, validate, write
from training.errors import DataSetError

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_sets.clean(tmp_path_factory.mktemp("clean"))


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Fault]]:
    return data_sets.faulty(tmp_path_factory.mktemp("faulty"))


@pytest.fixture(scope="module")
def label_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("labels") / "labels.txt"
    file.write_text("\n".join(data_sets.LABEL_MAP))
    return file


@pytest.fixture(scope="module")
def report(faulty: tuple[Path, list[Fault]], label_map: Path) -> Report:
    return validate(faulty[0], labels=label_map)


def shell(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["validate", *map(str, words)])


def says(report: Report, fault: Fault) -> bool:
    found = [finding for finding in report.findings if finding.kind == fault.kind]
    return any(fault.about in finding.files or fault.about in finding.sentence for finding in found)


# --- What must be found -----------------------------------------------------------------------------------------


def test_twenty_of_twenty_planted_faults_are_reported(report: Report, faulty: tuple[Path, list[Fault]]) -> None:
    assert len(faulty[1]) == 20
    assert [fault for fault in faulty[1] if not says(report, fault)] == []


def test_nothing_is_said_of_files_without_a_fault(report: Report, tmp_path: Path) -> None:
    sound = {str(path.relative_to(tmp_path)) for path in data_sets.split(tmp_path).rglob("*.jpg")}
    involved = {file for finding in report.findings for file in finding.files}
    partners = {f"train/Jelly/{n}.jpg" for n in (0, 1, 2)} | {"train/Sea_star/0.jpg", "val/Sea_star/3.jpg"}
    assert involved & sound == partners


@pytest.mark.parametrize("make", [data_sets.clean, data_sets.split])
def test_a_clean_folder_has_no_finding(make: object, tmp_path: Path) -> None:
    assert callable(make)
    report = validate(make(tmp_path), min_per_class=5)
    assert report.findings == ()
    assert report.verdict == "clean"


def test_processes_find_what_one_finds(report: Report, faulty: tuple[Path, list[Fault]], label_map: Path) -> None:
    assert validate(faulty[0], labels=label_map, workers=Workers(2)).findings == report.findings


def die(file: str) -> None:
    os._exit(9)


def test_a_killed_process_is_told_in_a_sentence() -> None:
    with pytest.raises(DataSetError, match="that decoded pictures was killed"):
        list(Workers(1).map(die, ["a.jpg"], lambda done, total: None))


# --- The command ------------------------------------------------------------------------------------------------


def test_errors_end_it_with_1_and_the_data_stays_as_it_was(
    faulty: tuple[Path, list[Fault]], label_map: Path, tmp_path: Path
) -> None:
    before = data_sets.digest(faulty[0])
    ended = shell(faulty[0], "--labels", label_map, "--report", tmp_path / "new" / "report")
    assert ended.exit_code == 1
    assert "Urchn is not in the label map: did you mean Urchin? Rename it." in ended.stdout
    assert "train/Anemone/page.jpg: This is a web page" in ended.stdout
    assert data_sets.digest(faulty[0]) == before
    assert sorted(path.name for path in (tmp_path / "new/report").iterdir()) == ["validation.html", "validation.json"]


def test_warnings_end_it_with_0(clean: Path, tmp_path: Path) -> None:
    ended = shell(clean, "--report", tmp_path)
    assert ended.exit_code == 0
    assert "15 pictures of 3 classes" in ended.stdout
    assert "0 errors, 3 warnings." in ended.stdout


def test_a_clean_folder_ends_it_with_0(clean: Path, tmp_path: Path) -> None:
    ended = shell(clean, "--report", tmp_path, "--min-per-class", "5")
    assert ended.exit_code == 0
    assert "0 errors, 0 warnings." in ended.stdout


def test_many_findings_of_a_kind_are_cut_short_in_the_shell(tmp_path: Path) -> None:
    data_sets.clean(tmp_path / "photos")
    for at in range(5):
        data_sets.put(tmp_path / "photos", f"Jelly/{at}.txt", b"no picture")
    assert "and 2 more" in shell(tmp_path / "photos", "--report", tmp_path / "report").stdout


def test_the_same_data_give_the_same_report(clean: Path, tmp_path: Path) -> None:
    one, other = (write(validate(clean), tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]


def test_tensorflow_is_not_imported(clean: Path, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from training.cli import app\n"
        f"assert CliRunner().invoke(app, ['validate', {str(clean)!r}, '--report', {str(tmp_path)!r}]).exit_code == 0\n"
        "assert not {'tensorflow', 'keras', 'httpx', 'fastapi'} & set(sys.modules)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


# --- What cannot run --------------------------------------------------------------------------------------------


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The one line that `python -m training validate` says when it ends with 2."""
    monkeypatch.setattr(sys, "argv", ["training", "validate", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = [line for line in said.err.splitlines() if line.strip()]
    assert len(lines) == 1, lines
    return lines[0]


def test_an_empty_folder_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    line = refused(monkeypatch, capsys, tmp_path / "photos", "--report", tmp_path / "report")
    assert line == (
        f"training: {tmp_path}/photos holds no pictures: put one folder per class into it, or a CSV of file,label."
    )
    assert not (tmp_path / "report").exists()


def test_one_class_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data_sets.put(tmp_path, "photos/crab/1.jpg", b"")
    line = refused(monkeypatch, capsys, tmp_path / "photos", "--report", tmp_path / "report")
    assert "has one class (crab), and a model needs two or more" in line
    assert not (tmp_path / "report").exists()


def test_a_report_that_cannot_be_written_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clean: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    line = refused(monkeypatch, capsys, clean, "--report", tmp_path / "file" / "report")
    assert line.endswith("/file/report cannot be written: give another with --report.")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_report_within_the_data_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clean: Path
) -> None:
    before = data_sets.digest(clean)
    monkeypatch.chdir(clean)
    assert "lies in the data set, which must not change" in refused(monkeypatch, capsys, ".")
    assert data_sets.digest(clean) == before


def test_a_csv_label_map_is_held_against_the_data_as_a_text_is(
    report: Report, faulty: tuple[Path, list[Fault]], tmp_path: Path
) -> None:
    rows = "".join(f"{label},A/B,\n" for label in data_sets.LABEL_MAP)
    (tmp_path / "labels.csv").write_text(f"label,group,name:de\n{rows}")
    assert validate(faulty[0], labels=tmp_path / "labels.csv").findings == report.findings


def test_a_mistake_in_a_csv_label_map_is_one_sentence_with_its_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clean: Path, tmp_path: Path
) -> None:
    (tmp_path / "labels.csv").write_text("label,group\nJelly,A//B\n")
    line = refused(monkeypatch, capsys, clean, "--labels", tmp_path / "labels.csv", "--report", tmp_path / "report")
    assert re.search(r"line 2 of .*labels\.csv: the group 'A//B' has an empty step", line)
    assert not (tmp_path / "report").exists()


def test_a_label_map_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], clean: Path, tmp_path: Path
) -> None:
    line = refused(monkeypatch, capsys, clean, "--labels", tmp_path / "gone.txt", "--report", tmp_path / "report")
    assert "gone.txt cannot be read (No such file or directory): give a UTF-8 text file" in line
    assert not (tmp_path / "report").exists()


def test_a_disk_that_fills_up_leaves_no_half_report(clean: Path, tmp_path: Path) -> None:
    (tmp_path / "validation.html").mkdir()
    (tmp_path / "validation.html" / "in the way").write_text("")
    with pytest.raises(DataSetError, match="could not be written"):
        write(validate(clean), tmp_path)
    assert list(tmp_path.glob("*.partial")) == []


# --- The report -------------------------------------------------------------------------------------------------


def test_the_json_file_says_what_the_report_says(report: Report, tmp_path: Path) -> None:
    told = json.loads(write(report, tmp_path)[0].read_text())
    assert told["verdict"] == "errors"
    assert told["digest"] == report.manifest.digest
    assert told["pictures"] == 31
    assert told["classes"]["Urchn"] == 2
    assert list(told["splits"]) == ["train", "val", "test"]
    assert (told["errors"], told["warnings"]) == (15, 12)
    assert told["findings"][0] == {
        "kind": "conflicting-labels",
        "severity": "error",
        "files": ["train/Jelly/2.jpg", "train/Sea_star/elsewhere.jpg"],
        "sentence": "train/Jelly/2.jpg and train/Sea_star/elsewhere.jpg are one file, labelled Jelly and Sea_star: "
        "keep one label and delete the others.",
    }


class Elements(HTMLParser):
    """Tags that are open or were closed wrongly, where pictures come from, and all the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.sources: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_else(report: Report, tmp_path: Path) -> None:
    elements = Elements(write(report, tmp_path)[1].read_text())
    assert (elements.open, elements.wrong) == ([], [])
    assert not {"script", "link", "iframe"} & elements.tags
    assert all(source.startswith(("data:image/jpeg;base64,", "#")) for source in elements.sources)


def test_the_page_shows_every_finding_and_its_pictures(report: Report, tmp_path: Path) -> None:
    elements = Elements(write(report, tmp_path)[1].read_text())
    assert [finding for finding in report.findings if finding.sentence not in elements.text] == []
    pictures = [source for source in elements.sources if source.startswith("data:")]
    assert len(pictures) == 15  # three pairs of errors, two of warnings; blank, tiny, wide, renamed, loose


FACTS = Facts("photos", "sha256:0", 100, 1, 0, {"crab": 100}, {}, {})


def test_names_are_text_whatever_they_hold() -> None:
    nasty = "<script>alert('1')</script>&\"</style>"
    facts = FACTS._replace(data_set=nasty, classes={nasty: 1}, places={nasty: nasty}, splits={nasty: 1})
    text = page(facts, [Finding("unreadable", (nasty,), nasty)], {})
    elements = Elements(text)
    assert "script" not in elements.tags
    assert (elements.open, elements.wrong) == ([], [])
    assert elements.text.count(nasty) == 6


def test_a_page_of_very_many_findings_stays_small() -> None:
    many = [Finding("blank", (f"{at}.jpg",), "Look.") for at in range(1000)]
    many.append(Finding("near-duplicate", tuple(f"copy{at}.jpg" for at in range(1000)), "Look."))
    assert len(pictured(many)) == 48 + 8
    assert "952 more of this kind are in validation.json." in page(FACTS, many, {})


def test_a_name_that_is_not_text_spoils_no_report(tmp_path: Path) -> None:
    data_sets.clean(tmp_path / "photos")
    (tmp_path / "photos/Jelly" / "\udcff\x1b[31m[red].jpg").write_bytes(b"")
    ended = shell(tmp_path / "photos", "--report", tmp_path / "report")
    assert ended.exit_code == 1
    assert r"Jelly/\udcff\x1b[31m[red].jpg: The file is empty" in ended.stdout
    assert r"\udcff" in (tmp_path / "report/validation.html").read_text()
    assert len(json.loads((tmp_path / "report/validation.json").read_text())["findings"]) == 4


# --- Files elsewhere ------------------------------------------------------------------------------------------


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A CSV that lists a private picture, a device, a link, a pipe and a name without end beside two classes."""
    photos = data_sets.clean(tmp_path / "photos")
    data_sets.put(tmp_path, "secret/private.jpg", data_sets.jpeg(data_sets.drawn(50, 1)))
    (photos / "link.jpg").symlink_to("../secret/private.jpg")
    os.mkfifo(photos / "pipe.jpg")
    files = [path.relative_to(photos).as_posix() for path in sorted(photos.glob("*/*.jpg"))]
    strange = ["../secret/private.jpg", "/dev/zero", "link.jpg", "pipe.jpg", "../" + "a" * 5000]
    rows = [f"{file},{Path(file).parent.name}" for file in files] + [f"{file},Jelly" for file in strange]
    (photos / "photos.csv").write_text("\n".join(["file,label", *rows]), encoding="utf-8")
    return photos


def test_files_outside_are_counted_named_and_not_shown(listed: Path, tmp_path: Path) -> None:
    found = validate(listed)
    assert (found.kinds["outside-file"], found.kinds["special-file"]) == (4, 1)
    named = {file for finding in found.findings if finding.kind == "outside-file" for file in finding.files}
    assert named == {"../secret/private.jpg", "/dev/zero", "link.jpg", f"../{'a' * 197}…"}
    _, html = write(found, tmp_path / "report")
    assert "data:image" not in html.read_text(encoding="utf-8").partition("Files outside")[2].partition("<section")[0]


def test_an_allowed_folder_is_read_and_shown(listed: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["validate", str(listed), "--also", str(tmp_path / "secret"), "--report", str(tmp_path / "report")]
    )
    found = json.loads((tmp_path / "report/validation.json").read_bytes())
    outside = [finding["files"][0] for finding in found["findings"] if finding["kind"] == "outside-file"]
    assert outside == [f"../{'a' * 197}…", "/dev/zero"]
    assert result.exit_code == 1


def test_a_link_to_a_folder_is_one_finding_whatever_is_behind_it(tmp_path: Path) -> None:
    photos = data_sets.clean(tmp_path / "photos")
    (photos / "etc").symlink_to("/etc")
    found = validate(photos)
    assert [(f.kind, f.files, f.severity) for f in found.findings if "link" in f.kind] == [
        ("unfollowed-link", ("etc",), "warning")
    ]
    assert "etc/" not in json.dumps([finding.files for finding in found.findings])
