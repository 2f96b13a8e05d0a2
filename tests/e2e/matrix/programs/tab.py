"""A tab of a real browser: signs in, opens a page, does what it is told, and answers, each in a line.

Its arguments are the Hub's address, the user, the password, the page's path, a selector to wait for, and a
file for pictures.
"""

import os
import shutil
import sys
from urllib.parse import quote

from playwright.sync_api import Page, sync_playwright

HIDE = """() => {
    Object.defineProperty(document, 'hidden', {get: () => true});
    Object.defineProperty(document, 'visibilityState', {get: () => 'hidden'});
    document.dispatchEvent(new Event('visibilitychange'));
}"""
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
]
requests = [0]


def open_page(page: Page, hub: str, user: str, password: str, path: str, selector: str) -> None:
    """Sign in and wait for the page, of which a picture is taken whether it comes or not."""
    page.goto(f"{hub}hub/login?next={quote(path)}")
    page.fill("#username_input", user)
    page.fill("#password_input", password)
    page.click("#login_submit")
    try:
        page.wait_for_selector(selector, timeout=60_000)
    finally:
        page.screenshot(path=sys.argv[6])


def obey(page: Page, order: str, selector: str) -> str:
    """Do as told and return how many requests the page sent since the last look, and what it shows."""
    word, _, rest = order.strip().partition(" ")
    if word == "hide":
        page.evaluate(HIDE)
    elif word == "scroll":
        page.mouse.move(500, 400)
        page.mouse.wheel(0, 200)
    elif word == "click":
        page.click(rest)
    elif word == "type":
        page.keyboard.type(f"{rest} ")
    elif word == "press":
        page.keyboard.press(rest)
    elif word == "move":
        page.mouse.move(*map(float, rest.split()))
    page.wait_for_timeout(500)
    sent = requests[0]
    if word == "look":  # whoever scrolls meanwhile takes nothing away from those who look
        page.screenshot(path=sys.argv[6])
        requests[0] = 0
    return f"{sent} {page.locator(selector).count()}"


def say(text: str) -> None:
    """Answer."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Open the tab and obey until there are no more orders."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        sys.exit("these rows need a Chromium: on Debian, apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.on("request", lambda _: requests.__setitem__(0, requests[0] + 1))
        selector = sys.argv[5]
        open_page(page, sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], selector)
        say("open")
        for order in sys.stdin:
            say(obey(page, order, selector))
    os._exit(0)


main()
