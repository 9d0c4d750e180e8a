// Shows new lines of the log as they come, and the state above it as it changes. Without this script the page loads itself again every three seconds.
"use strict";

const log = document.getElementById("log");

if (log && log.dataset.events) {
  const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const events = new EventSource(log.dataset.events);
  let fresh = true;
  events.addEventListener("open", () => {
    // the first stream begins at the first line, a later one where the last has ended
    if (fresh) log.textContent = "";
    fresh = false;
  });
  events.addEventListener("message", (event) => {
    const follow = atEnd();
    log.append(event.data + "\n");
    if (follow) log.scrollTop = log.scrollHeight;
  });
  events.addEventListener("changed", async () => {
    const answer = await fetch(window.location.href);
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const standing = page.getElementById("standing");
    if (standing) document.getElementById("standing").replaceWith(document.adoptNode(standing));
  });
  events.addEventListener("over", () => {
    events.close();
    window.location.reload();
  });
}
