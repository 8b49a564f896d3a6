// Draws the figures from the JSON beside them, and fits them to the screen and to paper.
(() => {
  "use strict";
  const PAPER = 682; // pixels between the margins of A4 and of Letter, see @page
  const config = { displayModeBar: false, displaylogo: false, scrollZoom: false, responsive: false };
  const plots = [...document.querySelectorAll(".plot")];

  const fit = (plot) => plot.style.setProperty("--paper-zoom", Math.min(1, PAPER / plot.clientWidth).toFixed(4));
  const draw = (plot) => {
    const spec = JSON.parse(plot.parentElement.querySelector('script[type="application/json"]').textContent);
    spec.layout.width = plot.clientWidth;
    spec.layout.autosize = false;
    fit(plot);
    return Plotly.newPlot(plot, spec.data, spec.layout, config);
  };
  const all = Promise.all(plots.map(draw)).then(() => document.documentElement.setAttribute("data-drawn", "true"));

  let timer;
  window.addEventListener("resize", () => {
    if (window.matchMedia("print").matches) return;
    clearTimeout(timer);
    timer = setTimeout(() => all.then(() => plots.forEach((plot) => {
      const width = plot.parentElement.clientWidth;
      if (Math.abs(width - plot._fullLayout.width) > 4) Plotly.relayout(plot, { width }).then(() => fit(plot));
    })), 150);
  });

  const opened = [];
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details:not([open])").forEach((one) => { one.open = true; opened.push(one); });
  });
  window.addEventListener("afterprint", () => { opened.splice(0).forEach((one) => { one.open = false; }); });

  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) {
      links.forEach((link) => link.removeAttribute("aria-current"));
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-10% 0px -80% 0px" });
  document.querySelectorAll("section[id]").forEach((section) => seen.observe(section));
})();
