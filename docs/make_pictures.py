"""Make the pictures of the documentation and the stills of empty pages from the demo: `make pictures` (needs Chromium).

Writes docs/pictures/<page>.webp and tour.webp (an animation of 40 s), assets/stills/<page>-<theme>.webp, assets/screenshot.png, and
docs/pictures/made_from.json, by which a test knows whether they are of the present demo.
"""

import argparse
import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from glan_core.operations.demo_workspace import DEMO_ARCHIVE, create_workspace
from glan_core.resources import ASSETS

DOCS = Path(__file__).parent
PICTURES, STILLS = DOCS / "pictures", ASSETS / "stills"
SIZE = (1440, 900)
# Picture, address, and what must be on the page before it is taken.
VIEWS = {
    "overview": ("", "4,1"), "taxonomy": ("taxonomy", "126 disciplines"), "syllabi": ("syllabi", "Course plan"),
    "homework": ("homework", "Provenance"), "diversity": ("diversity", "clusters"), "metrics": ("diversity?diversity_view=Metrics", "Vendi"),
    "dataset": ("dataset", "Checks"), "train": ("train?train_view=Watch", "Validation loss"), "models": ("models", "Weights"),
    "chat": ("chat?chat=1", "preferred"), "evaluate": ("evaluate?evaluate_view=Results", "95% interval"),
    "questions": ("evaluate?evaluate_view=Questions", "A shown first"), "runs": ("runs?runs_view=History", "History"),
}  # fmt: skip
EMPTY = (
    "syllabi",
    "homework",
    "diversity",
    "dataset",
    "train",
    "models",
    "chat",
    "evaluate",
    "runs",
)  # pages that show a still while empty
ANIMATED = ("overview", "taxonomy", "syllabi", "homework", "diversity", "dataset", "train", "chat", "evaluate", "runs")
SECONDS = 4.0  # per picture of the animation
SIDEBAR = 282  # pixels that a still leaves out


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="path of the browser")
    options = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    STILLS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"
        create_workspace(home / "demo", demo=True).close()
        (Path(scratch) / "config").mkdir()
        (Path(scratch) / "config" / "tour-seen").touch()
        with _studio(home, Path(scratch) / "config") as port, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=options.chromium, args=["--no-sandbox"])
            for theme in ("light", "dark"):
                context = browser.new_context(viewport={"width": SIZE[0], "height": SIZE[1]}, color_scheme=theme)  # type: ignore[arg-type]
                _take(context.new_page(), f"http://localhost:{port}", theme)
                context.close()
            browser.close()
    _animate()
    (PICTURES / "made_from.json").write_text(
        json.dumps({"demo": archive_hash(), "views": sorted(VIEWS)}, indent=1) + "\n", "utf-8"
    )


def archive_hash() -> str:
    """Return the hash of the demo that pictures are made from."""
    return hashlib.sha256(DEMO_ARCHIVE.read_bytes()).hexdigest()


class _studio:
    """The studio on a free port, ended with the block."""

    def __init__(self, home: Path, config: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._command = [sys.executable, "-m", "glan_core", "studio", str(home), "--no-browser", "--port", str(self._port)]
        self._environment = {**os.environ, "GLAN_CONFIG_HOME": str(config)}

    def __enter__(self) -> int:
        self._process = subprocess.Popen(self._command, env=self._environment, stdout=subprocess.DEVNULL)
        for _ in range(120):
            try:
                urllib.request.urlopen(f"http://localhost:{self._port}/_stcore/health", timeout=1).close()
                return self._port
            except OSError:
                time.sleep(0.5)
        raise TimeoutError("the studio did not start")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)


def _take(page: Page, address: str, theme: str) -> None:
    for name, (path, words) in VIEWS.items():
        page.goto(f"{address}/{path}{'&' if '?' in path else '?'}workspace=demo")
        page.get_by_text(words).first.wait_for(timeout=90_000)
        page.locator('[data-testid="stStatusWidget"]').wait_for(state="detached", timeout=90_000)
        page.wait_for_timeout(2500)  # charts draw after their data has arrived
        page.evaluate(
            "document.querySelectorAll('*').forEach(e => { if (e.scrollTop) e.scrollTop = 0 })"
        )  # chats open at their end
        page.wait_for_timeout(300)
        image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        if theme == "light":
            image.save(PICTURES / f"{name}.webp", quality=82, method=6)
        if theme == "light" and name == "overview":
            image.save(ASSETS / "screenshot.png", optimize=True)
        if name in EMPTY:
            still = image.crop((SIDEBAR, 0, *SIZE))
            still.resize((still.width * 2 // 3, still.height * 2 // 3), Image.Resampling.LANCZOS).save(
                STILLS / f"{name}-{theme}.webp", quality=60, method=6
            )


def _animate() -> None:
    """Join pictures to an animation."""
    frames = [
        Image.open(PICTURES / f"{name}.webp").convert("RGB").resize((960, 600), Image.Resampling.LANCZOS) for name in ANIMATED
    ]
    frames[0].save(
        PICTURES / "tour.webp", save_all=True, append_images=frames[1:], duration=round(1000 * SECONDS), loop=0, quality=70, method=6
    )  # fmt: skip


if __name__ == "__main__":
    main()
