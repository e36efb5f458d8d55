#!/usr/bin/env python3
"""Opens a report in Chromium and looks at it as people do.

usage: report.py REPORT.html AXE.js OUT [CHROMIUM]         needs playwright and pillow, and a Chromium (default /usr/bin/chromium)
AXE.js is `axe.min.js` of the npm package axe-core. Checks, at two widths and in both colour schemes: nothing goes wrong in the
console, no request leaves the file, every picture loads, nothing is wider than the screen, axe finds no serious fault; that the
viewer shows something of every case in every view and moves by keyboard, and that tables sort. Screenshots and a print lie in OUT.
Ends with 1 where something is not as it should be.
"""
import io, sys, time
from pathlib import Path
from PIL import Image
from playwright.sync_api import sync_playwright

WIDTHS = {"wide": (1280, 900), "narrow": (360, 740)}
FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
PICTURES = """async () => {
  const broken = [];
  const all = [...document.querySelectorAll('image')].map((i) => i.getAttribute('href'))
    .concat([...document.images].map((i) => i.src));
  for (const href of all) {
    const picture = new Image();
    picture.src = href;
    try { await picture.decode(); } catch (error) { broken.push(href.slice(0, 60)); }
    if (!picture.naturalWidth) broken.push(href.slice(0, 60));
  }
  return [all.length, broken];
}"""
# Several violations of one rule are one line.
AXE = """async () => (await axe.run()).violations.filter((v) => ['serious', 'critical'].includes(v.impact))
  .map((v) => `${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.target.join(' ')).join(' | ')}`)"""

problems = []


def check(what, right, detail=""):
    print(f"{'ok   ' if right else 'WRONG'} {what}{': ' + str(detail) if detail else ''}")
    if not right:
        problems.append(what)


def until(page, script, seconds=120):
    """Polls: the page's own policy forbids what playwright waits by."""
    end = time.time() + seconds
    while time.time() < end:
        if page.evaluate(script):
            return True
        time.sleep(0.2)
    return False


def lit(page):
    """The share of the canvas's pixels that are not black."""
    picture = Image.open(io.BytesIO(page.locator("#viewer-canvas").screenshot())).convert("L")
    histogram = picture.histogram()
    return sum(histogram[24:]) / sum(histogram)


def viewer(page, out):
    page.locator(".viewer").scroll_into_view_if_needed()
    check("the viewer starts", until(page, "document.getElementById('viewer-canvas').dataset.case === '0'"),
          page.locator("#viewer-place").inner_text())
    for case in range(page.locator("#viewer-case option").count()):
        page.select_option("#viewer-case", str(case))
        until(page, f"document.getElementById('viewer-canvas').dataset.case === '{case}'")
        for view in ["planes", "axial", "coronal", "sagittal", "shape"]:
            page.select_option("#viewer-view", view)
            page.wait_for_timeout(400)
            share = lit(page)
            check(f"case {case}, {view}", share > 0.01, f"{100 * share:.1f} % of the canvas is lit")
            page.locator(".viewer").screenshot(path=out / f"viewer-{case}-{view}.png")
    page.select_option("#viewer-view", "planes")
    before = page.locator("#viewer-place").inner_text()
    page.focus("#viewer-canvas")
    for key in ["ArrowRight", "ArrowUp", "PageUp"]:
        page.keyboard.press(key)
    page.wait_for_timeout(300)
    after = page.locator("#viewer-place").inner_text()
    check("the keyboard moves the place", before != after, f"{before} -> {after}")
    boxes = page.locator("#viewer-layers input")
    page.wait_for_timeout(300)
    shown = page.locator("#viewer-canvas").screenshot()
    boxes.nth(1).uncheck()
    page.wait_for_timeout(400)
    check("a layer can be switched off", shown != page.locator("#viewer-canvas").screenshot())
    boxes.nth(1).check()
    if boxes.count() > 3:
        boxes.last.check()
        page.wait_for_timeout(400)
        page.locator(".viewer").screenshot(path=out / "viewer-uncertainty.png")


def tables(page):
    for table in page.locator("table").all():
        if table.locator("thead button").count() and table.locator("tbody tr").count() > 1:
            column = lambda: [cell.inner_text() for cell in table.locator("tbody tr > :first-child").all()]
            first = table.locator("thead button").first
            first.focus()
            page.keyboard.press("Enter")
            up = column()
            page.keyboard.press("Enter")
            check("a table sorts by keyboard", up == column()[::-1] or len(set(up)) < len(up), up[:3])
            return


def main():
    html, axe, out = (Path(argument).resolve() for argument in sys.argv[1:4])
    chromium = sys.argv[4] if len(sys.argv) > 4 else "/usr/bin/chromium"
    out.mkdir(parents=True, exist_ok=True)
    megabytes = html.stat().st_size / 1e6
    check("the file is below 15 MB", megabytes < 15, f"{megabytes:.2f} MB")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        print("Chromium", browser.version)
        for scheme in ["light", "dark"]:
            for name, (width, height) in WIDTHS.items():
                page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                said, asked = [], []
                page.set_default_timeout(240_000)  # a processor draws slowly
                page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
                page.on("pageerror", lambda error: said.append(str(error)))
                page.on("request", lambda request: asked.append(request.url))
                page.goto(html.as_uri())
                label = f"{name}, {scheme}"
                count, broken = page.evaluate(PICTURES)
                check(f"{label}: {count} pictures load", count > 0 and not broken, broken or "")
                page.screenshot(path=out / f"{name}-{scheme}-top.png")
                if scheme == "light" and name == "wide" and page.locator(".viewer").count():
                    viewer(page, out)
                    tables(page)
                elif page.locator(".viewer").count():
                    page.locator(".viewer").scroll_into_view_if_needed()
                    check(f"{label}: the viewer starts", until(page, "document.getElementById('viewer-canvas').dataset.case"))
                    check(f"{label}: it shows something", lit(page) > 0.01)
                over = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
                check(f"{label}: nothing is wider than the screen", over <= 0, f"{over} px" if over > 0 else "")
                page.evaluate(axe.read_text())
                found = page.evaluate(AXE)
                check(f"{label}: axe finds no serious fault", not found, "\n      ".join(found))
                check(f"{label}: the console is silent", not said, said[:3] or "")
                # A picture of the whole page makes the window as tall as the page for a moment, which the viewer's layout does not like.
                page.screenshot(path=out / f"{name}-{scheme}.png", full_page=True)
                elsewhere = [url[:80] for url in asked if url != html.as_uri() and not url.startswith(("data:", "blob:"))]
                check(f"{label}: no request leaves the file", not elsewhere, elsewhere[:3] or "")
                page.close()
        page = browser.new_page(color_scheme="dark")
        page.goto(html.as_uri())
        page.pdf(path=out / "print.pdf", format="A4")
        page.close()
        # Without WebGL 2 the viewer steps aside.
        page = browser.new_page()
        page.add_init_script(
            "const get = HTMLCanvasElement.prototype.getContext;"
            "HTMLCanvasElement.prototype.getContext = function (kind, ...more) {"
            " return kind === 'webgl2' ? null : get.call(this, kind, ...more); };")
        page.goto(html.as_uri())
        if page.locator(".viewer").count():
            page.locator(".viewer").scroll_into_view_if_needed()
            check("without WebGL 2 it says so", until(page, "document.getElementById('viewer-place').textContent.includes('no WebGL 2')", 20))
            check("and slices are there", page.locator(".slice image").count() > 0)
        browser.close()
    print(f"{len(problems)} problems" if problems else "all is as it should be")
    sys.exit(bool(problems))


main()
