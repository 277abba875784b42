"""Every notebook in a real browser: JupyterLab, Run All, both themes, and no request that leaves this computer."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import browserlab
from kubelab import folders

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
# A notebook takes seconds; a machine that does other work beside takes longer.
SECONDS = 120

pytestmark = browserlab.MARKS


@pytest.fixture(scope="module")
def lab_server(root, tmp_path_factory):
    """JupyterLab with scratch settings on a free port of 127.0.0.1; gives its URL."""
    here = tmp_path_factory.mktemp("lab")
    notebooks = here / "notebooks"
    notebooks.mkdir()
    for path in (root / "course" / "source").glob("*/*.ipynb"):
        shutil.copy(path, notebooks)
    shutil.copy(Path(__file__).with_name("small.ipynb"), notebooks)
    settings = here / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    # All cells stand in the page at once, so that one screenshot holds them.
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}', encoding="utf-8")
    with browserlab.jupyter(
        "lab",
        "--expose-app-in-browser",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        files=notebooks,
        scratch=here,
        ready="/api/status",
        JUPYTER_CONFIG_PATH=folders.HERE / "jupyter",
        JUPYTERLAB_SETTINGS_DIR=here / "settings",
        JUPYTERLAB_WORKSPACES_DIR=here / "workspaces",
        IPYTHONDIR=here / "ipython",
    ) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    with browserlab.chromium() as found:
        yield found


@pytest.fixture(scope="module")
def context(browser):
    """One for all pages: JupyterLab's megabytes of script are then fetched and compiled once."""
    with browser.new_context() as made:
        yield made


@pytest.fixture
def page(context):
    """A page that may talk to 127.0.0.1 only; `page.left` are the requests that would have gone elsewhere."""
    page = context.new_page()
    page.set_viewport_size({"width": 1180, "height": 1000})
    browserlab.keep_here(page)
    yield page
    page.close()


RUN_ALL = """async () => {
    const widget = jupyterapp.shell.currentWidget;
    await widget.context.ready;
    await widget.sessionContext.ready;
    await widget.sessionContext.session.kernel.info;
    await jupyterapp.commands.execute("notebook:run-all-cells");
}"""

OUTPUTS = """() => {
    const cells = jupyterapp.shell.currentWidget.content.model.cells;
    const found = [];
    for (let i = 0; i < cells.length; i++) {
        const cell = cells.get(i).toJSON();
        if (cell.cell_type === "code") found.push({source: cell.source, outputs: cell.outputs, count: cell.execution_count});
    }
    return found;
}"""


def open_notebook(page, url, name):
    page.goto(f"{url}/lab/tree/{name}.ipynb?reset")
    page.wait_for_function(
        "() => window.jupyterapp?.shell?.currentWidget?.context !== undefined", timeout=SECONDS * 1000
    )
    page.evaluate("() => jupyterapp.commands.execute('application:toggle-left-area').catch(() => 0)")


def run_all(page):
    page.evaluate(RUN_ALL)
    page.wait_for_function(
        f"() => ({OUTPUTS})().every((cell) => cell.count !== null || cell.source === '')", timeout=SECONDS * 1000
    )
    # Pictures and widgets are drawn after their output has arrived.
    page.wait_for_timeout(500)
    return page.evaluate(OUTPUTS)


def photograph(page, root, name, theme):
    """One picture of the whole notebook in a theme."""
    page.evaluate("(theme) => jupyterapp.commands.execute('apputils:change-theme', {theme})", THEMES[theme])
    page.wait_for_function(
        "(name) => document.body.dataset.jpThemeName === name && getComputedStyle(document.body).opacity === '1'",
        arg=THEMES[theme],
        timeout=SECONDS * 1000,
    )
    height = page.evaluate(
        "() => [...document.querySelectorAll('.jp-Notebook .jp-Cell')].reduce((sum, each) => sum + each.offsetHeight + 8, 0)"
    )
    page.set_viewport_size({"width": 1180, "height": min(height + 220, 16000)})
    # Run All leaves the last cell in view.
    page.evaluate(
        "() => document.querySelectorAll('.jp-WindowedPanel-outer').forEach((each) => { each.scrollTop = 0; })"
    )
    page.wait_for_timeout(700)
    artifacts = Path(root) / "artifacts"
    artifacts.mkdir(exist_ok=True)
    page.screenshot(path=artifacts / f"{name}-{theme}.png")


CONTRAST = """(selector) => {
    const channel = (value) => { value /= 255; return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4; };
    const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const rgb = (colour, under) => {
        canvas.fillStyle = under; canvas.fillRect(0, 0, 1, 1);
        canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const ground = getComputedStyle(document.querySelector(".jp-Notebook")).backgroundColor;
    let worst = {ratio: 99};
    for (const element of document.querySelectorAll(selector)) {
        if (!element.textContent.trim() || element.getClientRects().length === 0) continue;
        const style = getComputedStyle(element);
        const inSvg = element instanceof SVGElement;
        let under = ground;
        for (let each = element; each && !inSvg; each = each.parentElement) {
            const colour = getComputedStyle(each).backgroundColor;
            if (colour !== "rgba(0, 0, 0, 0)" && colour !== "transparent") { under = colour; break; }
        }
        const [a, b] = [light(rgb(inSvg ? style.fill : style.color, under)), light(rgb(under, ground))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        const colour = inSvg ? style.fill : style.color;
        if (ratio < worst.ratio) worst = {ratio, colour, under, text: element.textContent.trim().slice(0, 60)};
    }
    return worst;
}"""


@pytest.mark.parametrize("name", folders.names())
def test_a_notebook_runs_and_can_be_read_in_both_themes(lab_server, page, root, name):
    open_notebook(page, lab_server, name)
    cells = run_all(page)
    failed = [out for cell in cells for out in cell["outputs"] if out["output_type"] == "error"]
    assert failed == []
    shown = [cell for cell in cells if cell["outputs"]]
    assert len(shown) > len(cells) / 2
    assert page.locator(".jp-RenderedHTMLCommon svg[role=img], .jp-OutputArea svg[role=img]").count() > 0
    assert page.locator(".kw input.kw-dot").count() > 0
    for theme in THEMES:
        photograph(page, root, name, theme)
        # WCAG 2.2, 1.4.3: 4.5 to 1 for text.
        worst = page.evaluate(
            CONTRAST, ".kw *:not(:has(*)), .kw-card *:not(:has(*)), .kw-term *:not(:has(*)), .kw-figure text"
        )
        assert worst["ratio"] >= 4.5, (theme, worst)
    assert page.left == []


def test_the_stepper_walks_by_keyboard_and_tells_the_kernel(lab_server, page):
    open_notebook(page, lab_server, "small")
    run_all(page)
    stepper = page.locator(".kw").first
    stepper.scroll_into_view_if_needed()
    dots = stepper.locator("input.kw-dot")
    assert dots.first.is_checked()
    dots.first.focus()
    page.keyboard.press("ArrowRight")
    assert dots.nth(1).is_checked()
    assert stepper.locator(".kw-s1").is_visible()
    assert not stepper.locator(".kw-s0").is_visible()
    assert stepper.locator("[aria-live]").text_content().startswith("Step 2 of")
    page.keyboard.press("End")
    assert dots.last.is_checked()
    page.keyboard.press("Home")
    stepper.locator(".kw-s0 .kw-nav label", has_text="Next").click()
    assert dots.nth(1).is_checked()


def test_predict_mode_asks_before_it_shows(lab_server, page):
    open_notebook(page, lab_server, "small")
    run_all(page)
    stepper = page.locator(".kw").first
    stepper.scroll_into_view_if_needed()
    stepper.locator("input.kw-predict").check()
    scene = stepper.locator(".kw-s0")
    assert scene.locator(".kw-ask").is_visible()
    assert not scene.locator("div.kw-answer").is_visible()
    scene.locator("label.kw-reveal-label").click()
    assert scene.locator("div.kw-answer").is_visible()
    assert not scene.locator(".kw-ask").is_visible()


def test_the_terminal_runs_completes_and_keeps_its_shell(lab_server, page, root):
    open_notebook(page, lab_server, "small")
    run_all(page)
    terminal = page.locator(".kw-terminal")
    line, log = terminal.locator("input"), terminal.locator(".kw-log")
    line.click()
    page.keyboard.type("kubectl get deployments; x=41")
    page.keyboard.press("Enter")
    log.get_by_text("shop").first.wait_for()
    page.keyboard.type("for i in 1; do")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('.kw-terminal .kw-prompt').textContent === '> '")
    page.keyboard.type("echo $((x + i)); done")
    page.keyboard.press("Enter")
    log.get_by_text("42", exact=True).wait_for()
    # What is typed while a command runs waits its turn: nothing is lost.
    page.keyboard.type("sleep 2; echo waited")
    page.keyboard.press("Enter")
    page.keyboard.type("echo typed ahead")
    page.keyboard.press("Enter")
    page.keyboard.type("kubect")
    page.keyboard.press("Tab")
    log.get_by_text("typed ahead", exact=True).wait_for()
    assert log.inner_text().index("waited") < log.inner_text().rindex("typed ahead")
    page.wait_for_function("() => document.querySelector('.kw-terminal input').value === 'kubectl '")
    page.keyboard.type("get nope")
    page.keyboard.press("Enter")
    log.get_by_text("the server doesn't have a resource type").wait_for()
    page.keyboard.press("ArrowUp")
    assert line.input_value() == "kubectl get nope"
    page.keyboard.press("Escape")
    assert not line.evaluate("(element) => element === document.activeElement")
    page.screenshot(path=Path(root) / "artifacts" / "terminal.png")
    assert page.left == []


def test_an_exercise_is_answered_by_keyboard_and_the_timeline_can_be_read(lab_server, page, root):
    open_notebook(page, lab_server, "small")
    run_all(page)
    card = page.locator(".kw-question")
    card.scroll_into_view_if_needed()
    card.locator("input[type=radio]").first.focus()
    page.keyboard.press("ArrowDown")
    assert card.locator("input[type=radio]").nth(1).is_checked()
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "Answer"
    page.keyboard.press("Enter")
    told = card.locator(".kw-told[aria-live] .kw-card")
    told.wait_for(timeout=SECONDS * 1000)
    assert told.locator("details svg[role=img]").count() > 0
    told.locator("summary").first.click()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "Hint"
    page.keyboard.press("Space")
    card.locator(".kw-told", has_text="Hint 1 of").wait_for(timeout=SECONDS * 1000)
    rows = page.locator(".kw-timeline tbody tr")
    assert rows.count() > 5
    # Who acts is text in each row, for those who do not see the lanes.
    assert all(each.locator("th").text_content().strip() for each in rows.all())
    assert page.locator(".kw-timeline .kw-lanes:not([aria-hidden=true])").count() == 0
    for theme in THEMES:
        photograph(page, root, "small", theme)
        worst = page.evaluate(
            CONTRAST, ".kw-question *:not(:has(*)), .kw-timeline *:not(:has(*)), .kw-terminal *:not(:has(*))"
        )
        assert worst["ratio"] >= 4.5, (theme, worst)
    assert page.left == []


def test_the_stepper_steps_with_scripts_off(browser, root, tmp_path):
    """As in nbgrader's feedback: the very markup that the notebook holds, in a page without JavaScript."""
    import lab_pages

    page_file = tmp_path / "page.html"
    page_file.write_text(lab_pages.stepper_page(), encoding="utf-8")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    stepper = page.locator(".kw")
    stepper.locator(".kw-s0 .kw-nav label", has_text="Next").click()
    assert stepper.locator(".kw-s1").is_visible()
    stepper.locator("input.kw-dot").nth(1).press("ArrowRight")
    assert stepper.locator(".kw-s2").is_visible()
    context.close()


def test_print_lists_every_moment(browser, tmp_path):
    import lab_pages

    page_file = tmp_path / "page.html"
    page_file.write_text(lab_pages.stepper_page(), encoding="utf-8")
    context = browser.new_context()
    page = context.new_page()
    page.goto(page_file.as_uri())
    page.emulate_media(media="print")
    scenes = page.locator(".kw-scene")
    assert scenes.count() > 5
    assert all(scenes.nth(each).is_visible() for each in range(scenes.count()))
    context.close()
