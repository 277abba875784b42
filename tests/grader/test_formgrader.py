"""nbgrader's formgrader in a real browser, on a class that kubegrade has graded."""

from __future__ import annotations

import shutil
import time

import gradelab
import pytest
from click.testing import CliRunner
from nbgrader.api import Gradebook

import browserlab
from kubegrade import cli, sandbox

pytestmark = [pytest.mark.slow, *browserlab.MARKS]


@pytest.fixture(scope="module")
def graded(root, tmp_path_factory):
    """A course after `kubegrade grade`: one who did all, one whose Service has the wrong port."""
    if not sandbox.probe().sufficient:
        pytest.skip(f"this machine has no sandbox: {sandbox.probe()}")
    here = gradelab.make_course(tmp_path_factory.mktemp("formgrader"))
    shutil.copy(root / "course" / "nbgrader_config.py", here)
    wrong = 'lab.shell("kubectl expose deployment web --port=81 --target-port=80")'
    for student, two in (("ada", gradelab.TWO), ("bob", wrong)):
        cells = gradelab.cells(gradelab.ONE, gradelab.GUESS, two, f"I am {student}.")
        gradelab.hand_in(here, student, gradelab.notebook(cells))
    done = CliRunner().invoke(cli.main, ["grade", str(here / "submitted"), "--jobs", "1"])
    assert done.exit_code == 0, done.output
    return here


@pytest.fixture(scope="module")
def server(graded):
    """A Jupyter server with formgrader on a free port of 127.0.0.1; gives its URL."""
    with browserlab.jupyter(
        "server",
        "--ServerApp.jpserver_extensions={'nbgrader.server_extensions.formgrader': True}",
        files=graded,
        scratch=graded,
        ready="/formgrader/manage_assignments",
    ) as url:
        yield url


@pytest.fixture(scope="module")
def page(server):
    with browserlab.chromium() as browser:
        page = browser.new_page(viewport={"width": 1180, "height": 1400})
        # Formgrader's pages ask for MathJax at a public address: nothing here needs it.
        browserlab.keep_here(page)
        yield page


def test_a_teacher_finds_the_class_the_marks_and_what_is_left_to_read(graded, server, page, root):
    page.goto(f"{server}/formgrader/gradebook/{gradelab.LAB}/{gradelab.LAB}", wait_until="domcontentloaded")
    page.wait_for_selector("tbody tr td.name a")
    rows = page.locator("tbody tr").all_inner_texts()
    assert len(rows) == 2
    # Eight points of which two are the text's, that nobody has read yet.
    assert ["6 / 8" in each for each in rows].count(True) == 1
    assert ["3 / 8" in each for each in rows].count(True) == 1

    with Gradebook(f"sqlite:///{graded / 'gradebook.db'}") as book:
        bobs = book.find_submission_notebook(gradelab.LAB, gradelab.LAB, "bob").id
    page.goto(f"{server}/formgrader/submissions/{bobs}/", wait_until="domcontentloaded")
    page.wait_for_selector("input.score")
    said = page.locator("body").inner_text()
    assert "I am bob." in said
    assert "0 of 3" in said
    page.wait_for_function(
        "() => [...document.querySelectorAll('input.score')].some((each) => each.value !== '' || each.placeholder !== '')"
    )
    (root / "artifacts").mkdir(exist_ok=True)
    page.screenshot(path=root / "artifacts" / "formgrader.png", full_page=True)


def test_a_score_given_there_is_in_the_book_and_stays(graded, server, page):
    last = page.locator("input.score").last
    last.fill("1.5")
    last.press("Tab")
    score = None
    end = time.monotonic() + 30
    while score is None and time.monotonic() < end:
        with Gradebook(f"sqlite:///{graded / 'gradebook.db'}") as book:
            score = book.find_grade("why", gradelab.LAB, gradelab.LAB, "bob").manual_score
        time.sleep(0.1)
    assert score == 1.5
