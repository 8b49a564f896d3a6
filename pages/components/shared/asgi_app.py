"""ASGI application of the studio: `streamlit run` starts it, and it runs streamlit_app.py.

Streamlit's front end finds its server by trying each folder of a page's address, which logs two 404s for every page that is opened
directly. Here the page tells it the address instead (`window.__streamlit.BACKEND_BASE_URL`).

Requests and websockets for another host name than those of `server.allowedHosts` are refused: a page of a stranger whose name was
made to lead to this machine (DNS rebinding) would otherwise have the rights of the studio's own page. So would a page of another
server of this machine, which Streamlit takes for its own whatever its port: websockets of such pages are refused too. No page of
another origin may show the studio in a frame, where it could lead clicks to its buttons, or, as a page of Streamlit's own cloud, send
the commands that Streamlit accepts from the page around it.

It also serves scripts with the page: accessibility.js, which completes Streamlit's own elements for screen readers and the
keyboard; table_keyboard.js, which selects rows of tables by keyboard; and notifications.js, which tells the user of a browser that
a long run ended, with the list that it reads.

first_picture.js shows the rings of Overview, which this server draws, until Streamlit's front end has started and drawn its own. The
styles of the studio are part of the page: streamlit_app.py gives them to Streamlit, whose front end may apply them after it has drawn
the page, which then would move.

When the server has started, it imports what the pages need (`warm_up`).
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.runtime.pages_manager import PagesManager
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

STUDIO = Path(__file__).parents[3]
if str(STUDIO) not in sys.path:
    sys.path.append(str(STUDIO))  # as Streamlit does for streamlit_app.py, but not for this file

from glan_core import access  # noqa: E402
from glan_core.resources import ASSETS  # noqa: E402
from glan_core.workspace import find_workspaces  # noqa: E402
from pages.components.shared import ended_runs, sign_in, tcp_delay, warm_up  # noqa: E402
from pages.components.shared.preloads import preloads  # noqa: E402
from pages.components.shared.workspace_home import first_name, workspace_home  # noqa: E402

INDEX = Path(st.__file__).parent / "static" / "index.html"
ADDRESS = "<script>window.__streamlit = {BACKEND_BASE_URL: window.location.origin + '/'}</script>"
DOCS_SITE = STUDIO / "site"  # where `make docs-site` builds it
SCRIPTS = ("accessibility.js", "notifications.js", "table_keyboard.js")  # of the assets
TAGS = "".join(f'<script src="/glan/{name}" defer></script>' for name in SCRIPTS)
# In the page instead of a file of its own, so that it asks for the picture before anything else.
FIRST_PICTURE = f"<script>{(ASSETS / 'first_picture.js').read_text('utf-8')}</script>"
# At the end of the page: of rules that are equally specific the later one counts, and Streamlit's own are in the head.
STYLES = f"<style>{(ASSETS / 'studio.css').read_text('utf-8')}</style>"
PAGES = [f"/{page.stem}" for page in sorted((STUDIO / "pages").glob("[a-z]*.py"))]


def _refusal(scope: Scope) -> PlainTextResponse | None:
    """Return the response that refuses a request outside of sessions, None if it is allowed.

    A read-only studio takes no uploads. With sign-in, uploads and metrics are refused to those who are not signed in.
    """
    path = scope.get("path", "") if scope["type"] == "http" else ""
    upload = path.startswith("/_stcore/upload_file")
    if upload and os.environ.get(access.READ_ONLY):
        return PlainTextResponse("This studio is read-only.\n", 403)
    guarded = upload or path.startswith("/_stcore/metrics")
    if guarded and sign_in.is_required() and not sign_in.is_admitted_request(Request(scope)):
        return PlainTextResponse("Sign in first.\n", 401)
    return None


def _is_own_page(headers: Headers) -> bool:
    """Return whether a websocket comes from a page of the studio, or from a program, which names no origin."""
    origin = headers.get("origin")
    return origin is None or origin.lower().partition("://")[2] == headers.get("host", "").lower()


def _unframed(send: Send) -> Send:
    """Return `send` with a header that keeps pages of other origins from showing the answer in a frame."""

    async def send_with_header(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).append("Content-Security-Policy", "frame-ancestors 'self'")
        await send(message)

    return send_with_header


class AllowedHosts:
    """Middleware that refuses requests and websockets for a foreign host name, websockets of pages of other servers, and their frames."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        headers = Headers(scope=scope) if scope["type"] != "lifespan" else Headers()
        if scope["type"] == "websocket" and not _is_own_page(headers):
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "lifespan" or is_host_allowed(headers.get("host")):
            await (_refusal(scope) or self._app)(scope, receive, _unframed(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            hint = "This host name is not allowed. Start the studio with: glan studio --host-name NAME\n"
            await PlainTextResponse(hint, 421)(scope, receive, send)


async def index(request: Request) -> HTMLResponse:
    """Serve Streamlit's index.html with the address of the server, the scripts and styles of the studio and the preloads of the page."""
    first = FIRST_PICTURE if request.url.path == "/" else ""
    html = INDEX.read_text("utf-8").replace("<head>", f"<head>{ADDRESS}{first}{TAGS}", 1)
    html = html.replace("</head>", f"{preloads(request.url.path)}</head>", 1).replace("</body>", f"{STYLES}</body>", 1)
    return HTMLResponse(html, headers={"Cache-Control": "no-cache"})


async def first_picture(request: Request) -> Response:
    """Serve the first picture of Overview for a workspace of the home folder; nothing for another view of it, or to strangers."""
    asked = dict(request.query_params)
    theme, name = asked.pop("theme", ""), asked.pop("workspace", "")
    refused = bool(asked) or (sign_in.is_required() and not sign_in.is_admitted_request(request))
    html = "" if refused else await run_in_threadpool(_first_picture, name, theme)
    return HTMLResponse(html, 200 if html else 204, headers={"Cache-Control": "no-store"})


def _first_picture(name: str, theme: str) -> str:
    found = {folder.name: folder for folder in find_workspaces(workspace_home())}
    folder = found.get(name or (first_name(list(found)) if found else ""))
    if folder is None:
        return ""
    # Imports that take a second, for which the server does not wait when it starts.
    from pages.components.overview import first_picture

    return first_picture.first_picture(folder, theme)


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[None]:
    """Start the warm-up with the server, and have it answer without delay."""
    # Otherwise Streamlit takes pages/ for pages of the older kind until streamlit_app.py has run once, and the first visit runs twice.
    PagesManager.uses_pages_directory = False
    tcp_delay.switch_off()
    warm_up.start()
    yield


async def script(request: Request) -> FileResponse:
    """Serve a script of the studio."""
    return FileResponse(
        ASSETS / request.url.path.rpartition("/")[2], media_type="text/javascript", headers={"Cache-Control": "no-cache"}
    )


routes: list[BaseRoute] = [
    *(Route(path, index) for path in ("/", *PAGES)),
    *(Route(f"/glan/{name}", script) for name in SCRIPTS),
    Route("/glan/first-picture", first_picture),
    Route("/glan/ended-runs", ended_runs.answer),
]
if DOCS_SITE.is_dir():
    routes.insert(0, Mount("/docs", StaticFiles(directory=DOCS_SITE, html=True)))
if sign_in.is_required():  # also before the first session, and for requests outside of sessions
    access.decide_by(sign_in.current_visitor)
app = st.App(STUDIO / "streamlit_app.py", lifespan=lifespan, routes=routes, middleware=[Middleware(AllowedHosts)])
