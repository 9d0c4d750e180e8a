// Shows new lines of the log as they come, and what stands above it anew when it changes.
// Without this script the page loads itself again every three seconds.
"use strict";

const log = document.getElementById("log");

if (log && log.dataset.events) {
  const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const events = new EventSource(log.dataset.events);
  const renew = async () => {
    const answer = await fetch(window.location.href);
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const standing = page.getElementById("standing");
    if (standing) document.getElementById("standing").replaceWith(document.adoptNode(standing));
  };
  let fresh = true;
  events.addEventListener("open", () => {
    // the first stream begins at the first line, a later one where the last has ended, with a gap between
    if (fresh) log.textContent = "";
    else renew();
    fresh = false;
  });
  events.addEventListener("message", (event) => {
    const follow = atEnd();
    log.append(event.data + "\n");
    if (follow) log.scrollTop = log.scrollHeight;
  });
  events.addEventListener("changed", renew);
  events.addEventListener("over", () => {
    events.close();
    window.location.reload();
  });
}
