"""Speed of the pages on a large workspace: `python benchmarks/page_speed.py HOME WORKSPACE`, after large_workspace.py.

HOME is the folder that contains the workspace folder WORKSPACE. For each page:
- server time of a rerun (Streamlit's AppTest), median and worst of 20;
- data sent over the socket, and the time from navigation until the main picture or table is drawn in Chromium (static files cached), median
  and worst of 5.

With `--fresh`, the first visit to a new server instead, with an empty cache of the browser: time from navigation until the main picture is
drawn, and the CPU time of server and page until then. One visit follows the first answer of the server, the other its warm-up. Beside it, a
Streamlit app of one sentence, which shows what no page can be faster than.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
PORT = 8699
# Page, query, and the element that must be drawn.
VISITS = {
    "Overview, rings": ("", "", "stEChartsChart"),
    "Overview, tiles": ("", "drawn=Tiles", "stEChartsChart"),
    "Overview, Applied Sciences": ("", "focus=applied-sciences", "stEChartsChart"),
    "Taxonomy, graph": ("taxonomy", "", "stEChartsChart"),
    "Taxonomy, graph of Law": ("taxonomy", "focus=law", "stEChartsChart"),
    "Syllabi": ("syllabi", "", "stDataFrame"),
    "Syllabi, Law": ("syllabi", "focus=law", "stDataFrame"),
    "Homework": ("homework", "", "stDataFrame"),
    "Homework, Law": ("homework", "focus=law", "stDataFrame"),
    "Homework, rejected": ("homework", "review=Rejected", "stDataFrame"),
    "Homework, advanced and unanswered": ("homework", "level=advanced&answered=no+answer+yet", "stAlert"),
    "Diversity": ("diversity", "", "stPlotlyChart"),
    "Diversity, Law by novelty": ("diversity", "focus=law&colour=Novelty", "stPlotlyChart"),
    "Diversity, measures": ("diversity", "diversity_view=Measures", "stDataFrame"),
    "Diversity, compare": ("diversity", "diversity_view=Compare", "stPlotlyChart"),
    "Dataset": ("dataset", "", "stPlotlyChart"),
    "Dataset, filters": ("dataset", "dataset_view=Filters", "stCheckbox"),
    "Dataset, judge": ("dataset", "dataset_view=Judge", "stNumberInput"),
    "Dataset, duplicates": ("dataset", "dataset_view=Duplicates", "stSlider"),
    "Dataset, benchmarks": ("dataset", "dataset_view=Benchmarks", "stMultiSelect"),
    "Dataset, snapshots": ("dataset", "dataset_view=Snapshots", "stTextInput"),
    "Dataset, export": ("dataset", "dataset_view=Export", "stSelectbox"),
    "Runs": ("runs", "", "stMetric"),
    "Runs, Law": ("runs", "focus=law", "stMetric"),
}  # fmt: skip


STUDIO = "pages/components/shared/asgi_app.py"
SENTENCE = "benchmarks/one_sentence.py"
# App, page, and what is in it once its main part is drawn.
FIRST_VISITS = {
    "An app of one sentence": (SENTENCE, "", "[data-testid=stMarkdown]"),
    "Overview, first picture": (STUDIO, "", "#glan-first-picture"),
    "Overview, rings": (STUDIO, "", "[data-testid=stEChartsChart] svg path"),
    "Runs": (STUDIO, "runs", "[data-testid=stMetric]"),
}
# Records the frame after the one in which the part is there: a page that is busy answers the driver late.
RECORDER = """
    const look = () => requestAnimationFrame(() => (
        document.querySelector(PART) ? requestAnimationFrame((then) => (window.drawnAfter = then)) : look()
    ));
    look();
"""
WARM_SECONDS = 10.0  # after which the warm-up of a new server is over, also on a busy machine


def reruns(visit: tuple[str, str, str], workspace: str, number: int = 20) -> list[float]:
    """Return the milliseconds of reruns of a page, after one that warms caches."""
    from streamlit.runtime.pages_manager import PagesManager
    from streamlit.testing.v1 import AppTest

    initialise = PagesManager.__init__

    def framed(self, *args, **kwargs) -> None:  # AppTest would run a page without streamlit_app.py
        initialise(self, *args, **kwargs)
        PagesManager.uses_pages_directory = False

    PagesManager.__init__ = framed
    page, query, _ = visit
    app = AppTest.from_file(ROOT / "streamlit_app.py", default_timeout=120)
    asked = dict(part.split("=") for part in query.split("&") if part) | {"workspace": workspace}
    values = {name: value.replace("+", " ") for name, value in asked.items()}
    app.query_params.update(values)
    app.run()
    if page:
        app.switch_page(f"pages/{page}.py")
        app.query_params.update(values)
        app.run()
    times = []
    for _ in range(number):
        start = time.perf_counter()
        app.run()
        times.append(1000 * (time.perf_counter() - start))
    if app.exception:
        raise SystemExit(f"{page or 'overview'}: {app.exception[0].value}")
    PagesManager.__init__ = initialise
    return times


def in_browser(workspace: str, chromium: str, visits: dict, number: int = 5) -> dict[str, tuple[list[float], int]]:
    """Return for each visit the milliseconds until its main part is drawn, and the most bytes sent over the socket."""
    from playwright.sync_api import TimeoutError as PlaywrightTimeout
    from playwright.sync_api import sync_playwright

    found = {}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        received = [0]
        page.on(
            "websocket",
            lambda socket: socket.on("framereceived", lambda frame: received.__setitem__(0, received[0] + len(frame))),
        )
        page.goto(f"http://127.0.0.1:{PORT}/?workspace={workspace}")
        page.get_by_test_id("stEChartsChart").first.wait_for()
        for name, (path, query, part) in visits.items():
            times, most = [], 0
            for _ in range(number):
                received[0] = 0
                start = time.perf_counter()
                page.goto(f"http://127.0.0.1:{PORT}/{path}?workspace={workspace}&{query}", wait_until="commit")
                try:
                    page.get_by_test_id(part).first.wait_for()
                except PlaywrightTimeout:  # a workspace without a comparison draws none
                    break
                times.append(1000 * (time.perf_counter() - start))
                page.get_by_test_id("stStatusWidget").wait_for(state="detached")
                page.wait_for_timeout(400)  # count what follows the main part as well
                most = max(most, received[0])
            if times:
                found[name] = (times, most)
        browser.close()
    return found


def first_visit(
    home: Path, workspace: str, chromium: str, visit: tuple[str, str, str], wait: float
) -> tuple[float, float, float, float]:
    """Return the seconds until a new server answers and until its first visitor sees the page, and the CPU seconds of server and page."""
    from playwright.sync_api import sync_playwright

    app, path, drawn = visit
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.add_init_script(f"const PART = {json.dumps(drawn)};{RECORDER}")
        metrics = page.context.new_cdp_session(page)
        metrics.send("Performance.enable")
        start = time.perf_counter()
        child = serve(home, app)
        try:
            started = time.perf_counter() - start
            time.sleep(wait)
            before = cpu_seconds(child)
            page.goto(f"http://127.0.0.1:{PORT}/{path}?workspace={workspace}", wait_until="commit")
            seconds = page.wait_for_function("window.drawnAfter", timeout=120_000).json_value() / 1000
            server = cpu_seconds(child) - before
            of_page = next(
                one["value"] for one in metrics.send("Performance.getMetrics")["metrics"] if one["name"] == "ProcessTime"
            )
        finally:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        browser.close()
    return started, seconds, server, of_page


def cpu_seconds(child: subprocess.Popen) -> float:
    """Return the CPU seconds of a process."""
    times = psutil.Process(child.pid).cpu_times()
    return times.user + times.system


def measure_first_visits(options: argparse.Namespace, number: int = 5) -> None:
    """Print the medians of first visits to new servers, of which each is a row of its own."""
    print(
        "| first visit | server answers after s | drawn after ms, median | worst | CPU s of the server | CPU s of the page | load |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, visit in FIRST_VISITS.items():
        if not name.startswith(options.only):
            continue
        for when, wait in (("at once", 0.0), ("after the warm-up", WARM_SECONDS)):
            visits = [first_visit(options.home, options.workspace, options.chromium, visit, wait) for _ in range(number)]
            started, seconds, server, page = (statistics.median(values) for values in zip(*visits, strict=True))
            print(
                f"| {name}, {when} | {started:.1f} | {1000 * seconds:.0f} | {1000 * max(one[1] for one in visits):.0f} | {server:.1f} | "
                f"{page:.1f} | {os.getloadavg()[0]:.1f} |", flush=True,
            )  # fmt: skip


def serve(home: Path, app: str = STUDIO) -> subprocess.Popen:
    """Start the studio or another app, and wait until it answers."""
    child = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", app, "--server.headless=true", f"--server.port={PORT}"],
        cwd=ROOT, env=os.environ | {"GLAN_HOME": str(home)}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/_stcore/health", timeout=2).close()
            return child
        except OSError:
            time.sleep(0.1)
    raise SystemExit("The studio does not start.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("workspace")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--only", default="", metavar="WORD", help="the pages whose names begin so")
    parser.add_argument("--fresh", action="store_true", help="measure the first visit to a new server")
    options = parser.parse_args()
    os.environ["GLAN_HOME"] = str(options.home)
    if options.fresh:
        measure_first_visits(options)
        raise SystemExit
    child = serve(options.home)
    try:
        visits = {name: visit for name, visit in VISITS.items() if name.startswith(options.only)}
        drawn = in_browser(options.workspace, options.chromium, visits)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
    print("| page | rerun ms, median | worst | drawn after ms, median | worst | KB sent |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, visit in visits.items():
        if name not in drawn:
            print(f"| {name} | not there | | | | |", flush=True)
            continue
        times, (waited, sent) = reruns(visit, options.workspace), drawn[name]
        print(
            f"| {name} | {statistics.median(times):.0f} | {max(times):.0f} | {statistics.median(waited):.0f} | "
            f"{max(waited):.0f} | {sent / 1000:.0f} |", flush=True,
        )  # fmt: skip
