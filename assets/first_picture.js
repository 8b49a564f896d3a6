// Shows the rings of Overview while Streamlit's front end starts: the server draws them (pages/components/overview/first_picture.py), and they
// go when the page has drawn its own. pages/components/shared/asgi_app.py puts this script into the page.
(() => {
  const LONGEST = 30000, AFTER = 5000;  // milliseconds from its start and from the end of the page's script, after which there is no picture
  const SIDEBAR = 281.25;  // pixels; its width until the user changes it
  const found = (selector) => document.querySelector(selector);

  const theme = () => {
    const chosen = localStorage.getItem("stActiveTheme-/-v2") || "";
    if (/dark/i.test(chosen)) return "dark";
    return /light/i.test(chosen) || !matchMedia("(prefers-color-scheme: dark)").matches ? "light" : "dark";
  };

  const RINGS = "[data-testid=stEChartsChart] svg path", MESSAGES = "[data-testid=stAlert], [data-testid=stException], [role=dialog]";
  let until = Infinity, began = false;  // whether the script of the page has
  const over = () => {
    const state = found("[data-testid=stApp]")?.dataset.testScriptState;
    if (began && state === "notRunning") until = Math.min(until, performance.now() + AFTER);  // elements appear up to a second later
    began = began || state === "running";
    return performance.now() > until || Boolean(found(`${RINGS}, ${MESSAGES}`));
  };

  const show = (html, colors) => {
    if (!html || over()) return;
    const picture = document.createElement("div");
    picture.id = "glan-first-picture";
    picture.ariaHidden = "true";  // screen readers wait for the page itself
    picture.style.colorScheme = colors;
    picture.style.setProperty("--sidebar", `${Number.parseInt(localStorage.getItem("sidebarWidth"), 10) || SIDEBAR}px`);
    picture.attachShadow({ mode: "closed" }).innerHTML = html;
    document.body.append(picture);
    until = performance.now() + LONGEST;
    const look = () => {
      if (over()) return picture.remove();
      const sidebar = found("[data-testid=stSidebar]");
      picture.classList.toggle("framed", sidebar !== null);
      picture.classList.toggle("wide", sidebar?.ariaExpanded === "false");
      return requestAnimationFrame(look);
    };
    look();
  };

  const asked = new URLSearchParams(window.location.search), colors = theme();
  asked.set("theme", colors);
  fetch(`/glan/first-picture?${asked}`)
    .then((answer) => (answer.status === 200 ? answer.text() : ""))
    .then((html) => show(html, colors))
    .catch(() => {});
})();
