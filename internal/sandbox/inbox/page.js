// Renews the list, unless somebody is writing or has the keyboard's focus in it.
const inbox = document.getElementById("inbox");
const busy = () => inbox.contains(document.activeElement) || [...inbox.querySelectorAll("input:not([type=hidden])")].some((field) => field.value !== "");
setInterval(async () => {
  if (busy() || document.hidden) return;
  const answer = await fetch("/inbox").catch(() => null);
  if (!answer || !answer.ok) return;
  const next = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("inbox");
  if (next && !busy() && next.innerHTML !== inbox.innerHTML) inbox.innerHTML = next.innerHTML;
}, 2000);
