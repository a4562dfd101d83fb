// Without this script every page works: times are in UTC, nothing is live, and commands are copied by hand.
"use strict";
(() => {
	const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
	const format = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...options });
	const clock = format({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
	const near = format({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
	const far = format({ day: "numeric", month: "short", year: "numeric" });
	const day = format({ dateStyle: "short" });
	const exact = format({ weekday: "long", day: "numeric", month: "long", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, timeZoneName: "longOffset" });

	function prepare(root) {
		const now = new Date();
		for (const element of root.querySelectorAll("time[datetime]")) {
			const at = new Date(element.dateTime);
			if (isNaN(at)) continue;
			element.title = exact.format(at) + "\n" + at.toISOString();
			element.textContent = day.format(at) === day.format(now) ? "today " + clock.format(at) : now - at < 300 * 864e5 ? near.format(at) : far.format(at);
		}
		for (const button of root.querySelectorAll("button.copy")) button.hidden = !navigator.clipboard;
	}
	prepare(document);
	const zoneText = document.getElementById("zone");
	if (zoneText) zoneText.textContent = `Times are in ${zone}.`;

	document.addEventListener("click", async (event) => {
		const button = event.target.closest("button.copy");
		if (!button) return;
		await navigator.clipboard.writeText(button.dataset.copy);
		const label = button.firstChild;
		label.data = "Copied";
		setTimeout(() => { label.data = "Copy"; }, 2000);
	});
	document.addEventListener("keydown", (event) => {
		if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
		const search = document.getElementById("q");
		if (search) { event.preventDefault(); search.focus(); search.select(); }
	});
	const print = document.getElementById("print");
	if (print) { print.hidden = false; print.addEventListener("click", () => window.print()); }

	// The page follows what happens: it is told that something did, and asks for itself anew.
	const live = document.getElementById("live-switch"), region = document.getElementById("live");
	if (!live || !region || !window.EventSource) return;
	const text = document.getElementById("live-text");
	let source, asking = false, again = false;
	const state = (word) => { text.textContent = word; live.dataset.state = word; };
	const busy = () => { const at = document.activeElement; return region.contains(at) && at.matches("input, select"); };

	function refresh() {
		if (asking || busy()) { again = true; return; }
		asking = true; again = false;
		const request = new XMLHttpRequest();
		request.open("GET", live.dataset.refresh);
		request.responseType = "document";
		request.onloadend = () => {
			asking = false;
			if (request.status === 200 && request.response && !busy()) {
				const at = document.activeElement, href = region.contains(at) ? at.getAttribute("href") : null;
				const open = [...region.querySelectorAll("details")].map((details) => details.open);
				region.replaceChildren(...request.response.body.childNodes);
				prepare(region);
				region.querySelectorAll("details").forEach((details, i) => { details.open = open[i] ?? false; });
				if (href) [...region.querySelectorAll("a")].find((link) => link.getAttribute("href") === href)?.focus({ preventScroll: true });
			}
			if (again) setTimeout(refresh, 2000);
		};
		request.send();
	}
	function follow() {
		source = new EventSource(live.dataset.live);
		source.addEventListener("open", () => state("Live"));
		source.addEventListener("change", refresh);
		source.addEventListener("error", () => {
			state("Reconnecting");
			if (source.readyState === EventSource.CLOSED) setTimeout(() => { if (live.ariaPressed === "true") { follow(); refresh(); } }, 5000);
		});
	}
	region.addEventListener("focusout", () => { if (again) setTimeout(refresh, 300); });
	live.hidden = false;
	live.addEventListener("click", () => {
		const on = live.ariaPressed !== "true";
		live.ariaPressed = String(on);
		if (on) { follow(); refresh(); } else { source.close(); state("Paused"); }
	});
	addEventListener("pagehide", () => source.close());
	addEventListener("pageshow", (event) => { if (event.persisted && live.ariaPressed === "true") follow(); });
	follow();
})();
