// Completes the roles and names that Streamlit's own elements lack, so that screen readers and the keyboard can use them.
// Served with the page by pages/components/shared/asgi_app.py.
(() => {
  const set = (element, name, value) => element.getAttribute(name) !== value && element.setAttribute(name, value);
  const each = (selector, change) => document.querySelectorAll(selector).forEach(change);

  const complete = () => {
    // The navigation is one <ul> of <div> sections, in which the <li> belong to no list.
    each('[data-testid="stSidebarNavItems"]', (list) => {
      const sections = [...list.children].filter((part) => part.matches("div"));
      if (sections.length) set(list, "role", "presentation");
      sections.forEach((section) => {
        set(section, "role", "list");
        const title = section.querySelector('[data-testid="stNavSectionHeader"]');
        if (title) set(section, "aria-label", title.querySelector("p")?.textContent || title.textContent);
      });
    });
    // A name needs a role that may have one.
    each('[data-testid="stFileUploaderDropzone"][role="presentation"]', (zone) => set(zone, "role", "group"));
    each("span[data-tag][aria-label]:not([role])", (tag) => set(tag, "role", "group"));
    // The part of a code block that scrolls takes the place among the tab stops of the frame around it.
    each('[data-testid="stCode"] pre:not([tabindex])', (code) => {
      code.tabIndex = 0;
      code.closest('[data-testid="stCode"]').tabIndex = -1;
    });
  };

  let waiting = false;
  const soon = () => {
    if (waiting) return;
    waiting = true;
    setTimeout(() => { waiting = false; complete(); }, 100);
  };
  new MutationObserver(soon).observe(document.documentElement, { childList: true, subtree: true });
  soon();
})();
