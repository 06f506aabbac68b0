"""The built site in a real Chromium: what a reader sees, and what the page asks for."""

import io
from urllib.parse import urlsplit

import numpy as np
import pytest
from matplotlib.image import imread
from playwright.sync_api import expect

import book
from browser import CHAPTERS, chromium, open_page, served_site
from build import SITE

expect.set_options(timeout=30_000)  # two tests at a time keep a small machine busy
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
# From the sources: a page that was not built is missed.
OTHERS = [f"book/{path.stem}.html" for path in sorted(book.ROOT.glob("book/*.md"))]


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def site():
    with served_site() as address:
        yield address


@pytest.fixture
def page(browser):
    """A new reader's page; the test fails if it reports, or asks for, anything amiss."""
    context = browser.new_context(viewport=DESKTOP, color_scheme="light")
    page, amiss = context.new_page(), []

    def asked(request):
        if urlsplit(request.url).hostname not in ("127.0.0.1", "", None):
            amiss.append(f"asks a third party: {request.url}")

    page.on("request", asked)
    page.on("requestfailed", lambda r: amiss.append(f"fails: {r.url}, {r.failure}"))
    page.on("response", lambda r: r.status >= 400 and amiss.append(f"{r.status}: {r.url}"))
    page.on("pageerror", lambda error: amiss.append(f"script error: {error}"))
    page.on("console", lambda m: m.type == "error" and amiss.append(f"console: {m.text}"))
    yield page
    address = page.url
    context.close()
    if amiss:
        pytest.fail("\n".join([address, *amiss]), pytrace=False)


def out_of_reach(page):
    """What sticks out of the screen: to the left, or so that the whole page scrolls."""
    return page.evaluate(
        """() => {
          const wide = document.documentElement.scrollWidth > innerWidth;
          const out = r => r.left < -1 || (wide && r.right > innerWidth + 1);
          return [...document.querySelectorAll("main *:not(mjx-container *)")]
            .map(e => [e, e.getBoundingClientRect()])
            .filter(([e, r]) => r.width && out(r))
            .slice(0, 5).map(([e]) => e.outerHTML.slice(0, 120));
        }"""
    )


def check_figures(page, theme):
    """Every figure follows the page's theme: most of its pixels are its background."""
    figures = page.locator('.cell_output img[src$=".svg"]').all()
    assert figures, "no figure on the page"
    for figure in figures:
        pixels = imread(io.BytesIO(figure.screenshot(animations="disabled")))[..., :3]
        light, name = float(np.median(pixels)), figure.get_attribute("alt")
        good = light > 0.8 if theme == "light" else light < 0.3
        assert good, f"{theme} theme, brightness {light:.2f}: {name}"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_chapter(page, site, chapter):
    open_page(page, f"{site}/{chapter}")
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("mjx-container").count() > 0, "MathJax set no formula"
    broken = page.locator("mjx-merror, [data-mjx-error]")
    assert broken.count() == 0, broken.first.get_attribute("data-mjx-error")
    pictures = page.locator("article img").all()
    assert pictures, "no picture on the page"
    for picture in pictures:
        assert picture.get_attribute("alt"), f"no alt text: {picture.get_attribute('src')}"
        assert picture.evaluate("p => p.decode().then(() => p.naturalWidth)") > 0
    links = page.locator('a[href*="colab.research.google.com/"]')
    colab = {link.get_attribute("href") for link in links.all()}
    assert len(colab) == 1, f"badge and launch button differ: {colab}"
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
        check_figures(page, theme)
        for size in (DESKTOP, PHONE):
            page.set_viewport_size(size)
            assert not out_of_reach(page), f"out of reach at {size['width']} pixels"
        page.set_viewport_size(DESKTOP)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_quiz_and_solution_open_from_the_keyboard(page, site, chapter):
    open_page(page, f"{site}/{chapter}")
    for fold in (".quiz details", "details.solution"):
        answer = page.locator(fold).first
        answer.locator("summary").focus()
        page.keyboard.press("Enter")
        expect(answer).to_have_attribute("open", "")


@pytest.mark.parametrize("other", [*OTHERS, "search.html"])
def test_other_page(page, site, other):
    open_page(page, f"{site}/{other}")
    page.set_viewport_size(PHONE)
    assert not out_of_reach(page)


def test_theme_toggle(page, site):
    open_page(page, f"{site}/{CHAPTERS[0]}")
    page.locator("button.theme-switch-button").first.click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_first_tab_skips_to_the_text(page, site):
    open_page(page, f"{site}/{CHAPTERS[0]}")
    page.keyboard.press("Tab")
    expect(page.locator("#pst-skip-link a")).to_be_focused()
    page.keyboard.press("Enter")
    assert urlsplit(page.url).fragment == "main-content"


def test_print_is_dark_on_white_and_the_text_alone(page, site):
    page.emulate_media(color_scheme="dark")
    open_page(page, f"{site}/{CHAPTERS[0]}")
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("main h1").first).to_be_visible()
    for part in ("#pst-primary-sidebar", ".bd-header-article", 'article a[href*="colab"]'):
        expect(page.locator(part).first).to_be_hidden()
    check_figures(page, "light")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_from_a_folder_on_disk(page):
    open_page(page, (SITE / CHAPTERS[0]).as_uri())
    assert page.locator("mjx-container").count() > 0
    check_figures(page, "light")


def search(page, home):
    open_page(page, f"{home}/{CHAPTERS[0]}")
    page.locator("button.search-button-field").first.click()
    page.locator(".bd-search input:visible").fill("variance")
    page.keyboard.press("Enter")
    expect(page.locator("#search-results li a").first).to_be_visible()


def test_search(page, site):
    search(page, site)


def test_search_in_a_folder_on_disk(browser):
    page = browser.new_page()  # titles are found; excerpts need a server, says the console
    search(page, SITE.as_uri())
    page.close()
