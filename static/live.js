// What has come since a page was shown: how many conversations are unread, and whether there is something new to show. It asks only
// while somebody has the tab before them, the less often the more often it fails, and no more when the session has ended. Asking
// makes no session longer.
{
  const EVERY = 15 * SECOND;
  const AT_MOST = 5 * 60 * SECOND;
  const FAR_BEHIND = 100;

  const words = (count) => {
    if (count === 1) return "There are new messages in 1 conversation.";
    return `There are new messages in ${count < FAR_BEHIND ? count : `${FAR_BEHIND} or more`} conversations.`;
  };

  const watchArrivals = (menu, place) => {
    let wait = EVERY;
    let asked = Date.now();
    let waiting = 0;
    let hasEnded = false;
    let told = 0;

    const showUnread = (unread) => {
      let count = menu.querySelector(".app-header__count");
      if (!count) {
        if (!unread) return;
        const words = document.createElement("span");
        words.className = "govuk-visually-hidden";
        words.textContent = " unread";
        count = document.createElement("span");
        count.className = "app-header__count";
        count.append("", words);
        menu.append(" ", count);
      }
      count.hidden = !unread;
      if (unread && count.firstChild.data !== unread) count.firstChild.data = unread;
    };

    // What somebody is writing is not lost to what has come.
    const leadOn = () => {
      const link = place.querySelector("a");
      const isWriting = [...document.querySelectorAll("main textarea")].some((area) => area.value !== area.defaultValue);
      link.target = isWriting ? "_blank" : "";
      link.textContent = isWriting ? "Show new messages (opens in new tab)" : "Show new messages";
    };

    // The words come into an empty place, so that a screen reader says them, and the place moves nothing.
    const offer = (count) => {
      if (count <= told) return;
      told = count;
      place.querySelector("[data-arrivals-words]").textContent = place.dataset.conversation
        ? "There are new messages in this conversation."
        : words(count);
      leadOn();
      place.querySelector("a").hidden = false;
      document.documentElement.classList.add("app-has-arrivals");
    };

    const ask = async () => {
      asked = Date.now();
      try {
        const query = new URLSearchParams(place ? { ...place.dataset } : {});
        const answer = await fetch(`/arrivals?${query}`, { cache: "no-store" });
        if (!answer.ok) throw new Error(answer.status);
        const found = await answer.json();
        hasEnded = !found.signed_in;
        if (hasEnded) return;
        showUnread(found.unread);
        if (place) offer(found.new);
        wait = EVERY;
      } catch {
        wait = Math.min(2 * wait, AT_MOST);
      }
    };

    const goOn = () => {
      clearTimeout(waiting);
      if (hasEnded || document.visibilityState !== "visible") return;
      waiting = setTimeout(async () => {
        await ask();
        goOn();
      }, Math.max(0, asked + wait - Date.now()));
    };

    if (place) document.addEventListener("input", leadOn);
    document.addEventListener("visibilitychange", goOn);
    goOn();
  };

  const menu = document.querySelector("[data-unread]");
  if (menu) watchArrivals(menu, document.getElementById("arrivals"));
}
