// Asks the studio's server every few seconds which long runs ended, and shows a browser notification for each new one.
// Served with the page by pages/components/shared/asgi_app.py. Nothing is asked unless the user turned notifications on
// (the toggle of the Runs page), which is stored in this browser only.
(() => {
  const ON = "glan.notify", KNOWN = "glan.notified.", FORGET = 3600, SECONDS = window.__glanNotifySeconds || 15;
  const VERBS = { finished: "finished", failed: "failed", paused: "was paused", cancelled: "was cancelled", lost: "lost its worker" };
  const allowed = () => "Notification" in window && Notification.permission === "granted" && localStorage.getItem(ON) === "on";

  const show = (workspace, run) => {
    const title = `${workspace}: run ${run.id} ${VERBS[run.state] || run.state}`;
    const note = new Notification(title, { body: [run.title, run.message].filter(Boolean).join("\n"), tag: `${workspace}-${run.key}` });
    note.onclick = () => {
      window.focus();
      const query = new URLSearchParams({ workspace, run: run.id, runs_view: "Watch" });
      window.location.assign(`/runs?${query}`);
      note.close();
    };
  };

  const poll = async () => {
    const workspace = new URLSearchParams(window.location.search).get("workspace");
    if (!workspace || !allowed()) return;
    const answer = await fetch(`/glan/ended-runs?${new URLSearchParams({ workspace })}`, { cache: "no-store" });
    if (!answer.ok) return;
    const { now, runs } = await answer.json();
    // Shared by all tabs, so that a run is told once. What ended before the first look, or long ago, is not told.
    const before = JSON.parse(localStorage.getItem(KNOWN + workspace) || "null");
    const known = before && now - before.at < FORGET ? before.keys : null;
    localStorage.setItem(KNOWN + workspace, JSON.stringify({ at: now, keys: runs.map((run) => run.key) }));
    if (known) runs.filter((run) => !known.includes(run.key)).forEach((run) => show(workspace, run));
  };

  const again = () => poll().catch(() => {}).finally(() => setTimeout(again, SECONDS * 1000));
  window.__glanNotify = { on: ON, now: poll };
  again();
})();
