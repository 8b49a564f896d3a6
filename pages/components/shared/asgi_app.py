"""ASGI application of the studio: `streamlit run` starts it, and it runs streamlit_app.py.

Streamlit's front end finds its server by trying each folder of a page's address, which logs two 404s for every page that is opened
directly. Here the page tells it the address instead (`window.__streamlit.BACKEND_BASE_URL`).
"""

from pathlib import Path

import streamlit as st
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

STUDIO = Path(__file__).parents[3]
INDEX = Path(st.__file__).parent / "static" / "index.html"
ADDRESS = "<script>window.__streamlit = {BACKEND_BASE_URL: window.location.origin + '/'}</script>"
PAGES = [f"/{page.stem}" for page in sorted((STUDIO / "pages").glob("[a-z]*.py"))]


async def index(request: Request) -> HTMLResponse:
    """Serve Streamlit's index.html with the address of the server."""
    html = INDEX.read_text("utf-8")
    return HTMLResponse(html.replace("<head>", f"<head>{ADDRESS}", 1), headers={"Cache-Control": "no-cache"})


app = st.App(STUDIO / "streamlit_app.py", routes=[Route(path, index) for path in ("/", *PAGES)])
