// Shows the rings of Overview while Streamlit's front end starts: the server draws them (pages/components/overview/first_picture.py), and they
// go when the page has drawn its own, or the user does anything. pages/components/shared/asgi_app.py puts this script into the page.
(() => {
  const LONGEST = 10000;  // milliseconds from the navigation; a page that takes longer has something else to say
  const SIDEBAR = { usual: 281.25, least: 187.5, most: 562.5 };  // pixels, as Streamlit limits what the user chooses
  const RINGS = "[data-testid=stEChartsChart] svg path", BARS = "[data-testid=stMain] [data-testid=stSkeleton]";
  const MESSAGES = "[data-testid=stAlert], [data-testid=stException], [role=dialog]";
  const page = window.location.pathname;
  let until = LONGEST, picture = null;

  const stored = (key) => {
    try { return localStorage.getItem(key) || ""; } catch { return ""; }  // a browser may refuse
  };

  const theme = () => {
    const chosen = stored("stActiveTheme-/-v2");
    if (/dark/i.test(chosen)) return "dark";
    return /light/i.test(chosen) || !matchMedia("(prefers-color-scheme: dark)").matches ? "light" : "dark";
  };

  const placeBesideSidebar = () => {
    const sidebar = document.querySelector("[data-testid=stSidebar]");
    const collapsed = sidebar ? sidebar.dataset.collapsed : stored("stSidebarCollapsed-");
    const width = Math.min(Math.max(Number.parseInt(stored("sidebarWidth"), 10) || SIDEBAR.usual, SIDEBAR.least), SIDEBAR.most);
    picture.style.setProperty("--sidebar", collapsed === "true" ? "0px" : `${width}px`);
    picture.classList.toggle("framed", sidebar !== null);
  };

  const show = (html) => {
    if (!html || performance.now() > until) return;
    picture = document.createElement("div");
    picture.id = "glan-first-picture";
    picture.ariaHidden = "true";  // screen readers wait for the page itself
    picture.style.colorScheme = colors;
    picture.attachShadow({ mode: "closed" }).innerHTML = html;
    placeBesideSidebar();
    document.body.append(picture);
  };

  // Streamlit loads the code of each kind of element, and draws a bar in its place until then, which may have another height.
  const isDrawn = () => document.querySelector(RINGS) && ![...document.querySelectorAll(BARS)].some((bar) => bar.offsetHeight);

  const end = () => { until = 0; };
  const watch = () => {
    if (window.location.pathname !== page || document.querySelector(MESSAGES) || isDrawn()) end();
    if (performance.now() > until) {
      picture?.remove();
      return;
    }
    if (picture) placeBesideSidebar();
    requestAnimationFrame(watch);
  };

  const asked = new URLSearchParams(window.location.search), colors = theme();
  asked.set("theme", colors);
  for (const action of ["pointerdown", "keydown"]) addEventListener(action, end, { capture: true, once: true });
  fetch(`/glan/first-picture?${asked}`, { signal: AbortSignal.timeout(LONGEST) })
    .then((answer) => (answer.status === 200 ? answer.text() : ""))
    .then(show)
    .catch(() => {});
  watch();
})();
