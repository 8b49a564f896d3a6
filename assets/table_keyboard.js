// Arrow keys and Enter for tables whose rows are selected by a click. Served with the page by pages/components/shared/asgi_app.py.
//
// Streamlit's tables select a cell as soon as they are focused, and the studio takes a selected cell for a click: without this
// script, who presses Tab would open the first row. Here focus and arrow keys only mark a row, and Enter or the space bar selects it.
(() => {
  const CANVAS = 'canvas[data-testid="data-grid-canvas"]';
  const KEEP = 60000; // milliseconds for which a table drawn anew gets the focus back: a busy server may need long to answer
  const rows = new WeakMap(); // marked row by canvas
  let pointer = false, selecting = false, left = false, box, hint; // left: the reader went on by Tab

  const gridOf = (element) => element?.closest?.(CANVAS);
  const cell = (canvas, row) => canvas.querySelector(`[id="glide-cell-1-${row}"]`);
  const count = (canvas) => canvas.querySelector("table").getAttribute("aria-rowcount") - 1;
  const nameOf = (canvas) => canvas.closest('[role="region"][aria-label]')?.getAttribute("aria-label") || "Table";

  // A table with boxes before its rows has no column 0 among its cells; one whose cells are edited is left to Streamlit.
  const isSelectable = (canvas) => {
    const first = canvas.querySelector("tbody td");
    return !!first && first.id.startsWith("glide-cell-1-") && first.getAttribute("aria-readonly") === "true";
  };

  const hide = () => { if (box) box.hidden = hint.hidden = true; };

  const create = () => {
    box = document.createElement("div");
    box.className = "glan-row";
    hint = document.createElement("div");
    hint.className = "glan-row-hint";
    hint.setAttribute("role", "status");
    document.body.append(box, hint);
  };

  const mark = (canvas, row) => {
    if (!box) create();
    rows.set(canvas, row);
    const height = 2.2 * parseFloat(getComputedStyle(document.documentElement).fontSize); // of a row and of the head
    const scroller = canvas.closest('[data-testid="stDataFrame"]').querySelector(".dvn-scroller");
    const room = canvas.clientHeight - height;
    scroller.scrollTop = Math.min(row * height, Math.max(scroller.scrollTop, (row + 1) * height - room));
    const place = canvas.getBoundingClientRect();
    const top = place.top + height * (row + 1) - scroller.scrollTop;
    if (top < 80 || top + 2 * height > window.innerHeight) {
      document.querySelector('[data-testid="stMain"]')?.scrollBy(0, top - window.innerHeight / 2);
    }
    const shift = canvas.getBoundingClientRect().top - place.top;
    Object.assign(box.style, { left: `${place.left}px`, top: `${top + shift}px`, width: `${place.width}px`, height: `${height}px` });
    Object.assign(hint.style, { left: `${place.left}px`, top: `${top + shift + height + 4}px` });
    box.hidden = hint.hidden = false;
    setTimeout(() => { // the table draws the cells that a screen reader reads a moment after it scrolled
      if (hint.hidden || rows.get(canvas) !== row) return;
      const said = [...(cell(canvas, row)?.parentElement.children || [])].map((one) => one.textContent.trim()).filter(Boolean).join(", ");
      hint.textContent = `Row ${row + 1} of ${count(canvas)}: Enter selects`;
      const heard = document.createElement("span");
      heard.className = "glan-unseen";
      heard.textContent = `. ${nameOf(canvas)}: ${said}`;
      hint.append(heard);
    }, 300);
  };

  const selected = (canvas) => {
    const row = canvas.querySelector('tbody tr[aria-selected="true"]');
    return row ? row.getAttribute("aria-rowindex") - 2 : 0;
  };

  const select = (canvas, row) => {
    const name = nameOf(canvas);
    mark(canvas, row); // brings the row into sight
    const place = box.getBoundingClientRect();
    const at = { clientX: place.left + Math.min(60, place.width / 2), clientY: place.top + place.height / 2 };
    const part = document.elementFromPoint(at.clientX, at.clientY);
    const how = { ...at, bubbles: true, cancelable: true, composed: true, view: window, isPrimary: true, pointerId: 1, pointerType: "mouse" };
    selecting = true;
    for (const kind of ["pointermove", "pointerdown", "mousedown", "pointerup", "mouseup", "click"]) {
      part?.dispatchEvent(new (kind.startsWith("pointer") ? PointerEvent : MouseEvent)(kind, { ...how, buttons: +kind.endsWith("down") }));
    }
    selecting = false;
    hide();
    const until = Date.now() + KEEP;
    const again = () => { // a table drawn anew loses the focus, perhaps more than once
      if (Date.now() > until || pointer || left) return;
      if (document.activeElement === document.body) {
        [...document.querySelectorAll(CANVAS)].find((one) => nameOf(one) === name && one.querySelector("table"))?.focus({ preventScroll: true });
      }
      setTimeout(again, 200);
    };
    left = false;
    setTimeout(again, 500);
  };

  window.addEventListener("pointerdown", () => { if (!selecting) { pointer = true; hide(); } }, true);
  window.addEventListener("focusin", (event) => {
    const canvas = gridOf(event.target);
    if (!canvas || pointer || selecting) return;
    const drawn = canvas.querySelector("tbody td");
    if (drawn && !isSelectable(canvas)) return;
    event.stopImmediatePropagation();
    if (!drawn) { // its cells come a moment later
      setTimeout(() => { if (document.activeElement === canvas) { canvas.blur(); canvas.focus(); } }, 400);
      return;
    }
    mark(canvas, Math.min(rows.get(canvas) ?? selected(canvas), count(canvas) - 1));
  }, true);
  window.addEventListener("focusout", (event) => gridOf(event.target) && hide(), true);
  window.addEventListener("keydown", (event) => {
    pointer = false;
    if (event.key === "Tab") left = true;
    const canvas = gridOf(document.activeElement);
    if (!canvas || event.ctrlKey || event.metaKey || event.altKey || !isSelectable(canvas)) return;
    const at = rows.get(canvas) ?? selected(canvas), last = count(canvas) - 1;
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + 10, PageUp: at - 10, Home: 0, End: last }[event.key];
    if (to === undefined && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (to === undefined) select(canvas, at);
    else mark(canvas, Math.max(0, Math.min(last, to)));
  }, true);
})();
