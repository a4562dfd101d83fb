// For the page of a SuperOffice web panel: signs people in in a pop-up and
// gives the iframe a session of its own. Include it from the gateway:
//
//   <script src="/erpsync/panel.js"></script>
//   const session = (await erpsync.session()) ?? null;    // null: nobody is signed in
//   button.onclick = async () => use(await erpsync.signIn());
//   const { ok, outcome, explanation } = await erpsync.call("ForceResync", { ErpConnectionId: 612, InternalKeyIds: [386] });
//   const { found } = await erpsync.find({ connection: 612, contact: 40386 });    // with lookups on
//
// Types for TypeScript: docs/examples/erpsync.d.ts in the gateway's repository.
"use strict";
(() => {
	const script = new URL(document.currentScript.src);
	const prefix = script.pathname.replace(/\/panel\.js$/, "");
	const at = (path) => script.origin + path;
	// What SuperOffice's client adds to a panel's URL: the tenant and the person it is shown to.
	const query = new URLSearchParams(location.search);
	const shown = { uctx: query.get("uctx") ?? "", usid: query.get("usid") ?? "" };
	let current = null;

	// A call goes on beside its connection, so that nothing between here and the gateway has to wait for it. The gateway waits 20 minutes for SuperOffice.
	const wait = "wait=20";
	const patience = 25 * 60 * 1000;
	const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

	const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

	async function json(response) {
		const body = await response.json();
		if (!response.ok) throw Object.assign(new Error(body.detail ?? response.statusText), body);
		return body;
	}

	async function session() {
		const response = await fetch(at(`${prefix}/session?${new URLSearchParams(shown)}`), { credentials: "include" });
		if (response.status === 401) return (current = null);
		return (current = await json(response));
	}

	// Why nobody was signed in: ending names it (sign_in_declined, tenant_not_granted, …), message says it in the person's language.
	const failure = (told) => Object.assign(new Error(`${told.title}. ${told.detail}`), told);

	// A browser that keeps no cookies in frames takes the session and forgets it at once.
	async function kept(signedIn) {
		if (await session()) return (current = signedIn);
		throw failure({ ending: "cookies_blocked", reason: "sign_in_again", status: 401, title: "The browser keeps no cookies here", detail: "Allow cookies for this page, or open it in a window of its own." });
	}

	// Call it from a click: browsers open pop-ups for clicks alone. It rejects if nobody was signed in, with the ending and the
	// reason in the error.
	function signIn() {
		const verifier = base64url(crypto.getRandomValues(new Uint8Array(32)));
		const popup = open("about:blank", "_blank", "popup,width=520,height=680");
		if (!popup) return Promise.reject(Object.assign(new Error("The browser did not open the sign-in window."), { ending: "popup_blocked" }));
		return new Promise((resolve, reject) => {
			const closed = setInterval(() => {
				if (popup.closed) done(() => reject(Object.assign(new Error("The sign-in window was closed."), { ending: "popup_closed" })), 1000);
			}, 500);
			let over = false;
			function done(then, delay = 0) {
				clearInterval(closed);
				setTimeout(() => {
					if (over) return;
					over = true;
					removeEventListener("message", listen);
					then();
				}, delay);
			}
			function listen(event) {
				if (event.source !== popup || event.origin !== script.origin) return;
				const told = event.data?.erpsync;
				if (typeof told?.ending === "string") return done(() => reject(failure(told)));
				if (typeof told !== "string") return;
				const body = JSON.stringify({ code: told, verifier, panel: shown });
				done(() => fetch(at(`${prefix}/hand-over`), { method: "POST", credentials: "include", headers: { "Content-Type": "application/json" }, body })
					.then(json).then(kept).then(resolve, reject));
			}
			addEventListener("message", listen);
			crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier)).then((digest) => {
				const ask = new URLSearchParams({ panel: base64url(new Uint8Array(digest)), opener: location.origin });
				if (shown.uctx) ask.set("tenant", shown.uctx);
				popup.location.replace(at(`${prefix}/sign-in?${ask}`));
			}, reject);
		});
	}

	// Resolves to what became of the call, at its end and whatever that is; rejects where nobody is signed in.
	async function call(operation, body, { idempotencyKey, dryRun, confirm } = {}) {
		if (!current) throw new Error("Nobody is signed in.");
		const headers = { "Content-Type": "application/json", Accept: "application/json", "X-XSRF-TOKEN": current.xsrf };
		if (idempotencyKey !== undefined) headers["Idempotency-Key"] = idempotencyKey;
		if (dryRun) headers["ErpSync-Dry-Run"] = String(dryRun);
		if (confirm) headers["ErpSync-Confirm"] = "all";
		if (!dryRun) headers.Prefer = `respond-async, ${wait}`;
		let response, text;
		try {
			response = await fetch(at(current.agent + operation), {
				method: "POST", credentials: "include", headers, body: JSON.stringify(body), // none for undefined: an empty object would mean everything
			});
			text = await response.text();
		} catch {
			// It may have been sent, and it may have run: a page must not take this for a failure that can be repeated.
			return result(response, "unknown", null, "No whole answer came. Look in SuperOffice before you send it again.");
		}
		let answer = parsed(text), later = {};
		if (runs(response, answer)) {
			const told = await end(answer.call, headers["X-XSRF-TOKEN"]);
			if (!told) return result(response, "unknown", answer, "Its answer did not arrive. Look in SuperOffice before you send it again.");
			({ response, answer } = told);
			later = { requestId: response.headers.get("ErpSync-Replayed"), replayed: null };
		}
		return { ...judged(response, answer), ...later };
	}

	// runs reports whether an answer says that the call goes on: its status is one of success, and it is not done.
	const runs = (response, answer) => response.status === 202 && answer?.state === "running" && !response.headers.get("ErpSync-Replayed");

	// end asks for a call until it is over. It resolves to null where nobody is told of it any more, or for too long.
	async function end(address, xsrf) {
		for (const until = Date.now() + patience; Date.now() < until;) {
			let response, answer;
			try {
				response = await fetch(at(address), { credentials: "include", headers: { Accept: "application/json", Prefer: wait, "X-XSRF-TOKEN": xsrf } });
				answer = parsed(await response.text());
			} catch {
				response = null; // the connection broke; the call goes on
			}
			if (response?.headers.get("ErpSync-Replayed")) return { response, answer }; // the call's own answer, whatever its status
			if (response?.status === 401) current = null;
			if ([401, 403, 404].includes(response?.status)) return null;
			if (!response?.headers.get("Preference-Applied")) await pause(Number(response?.headers.get("Retry-After")) || 3);
		}
		return null;
	}

	// judged tells what an answer of the call means.
	function judged(response, answer) {
		if (response.headers.get("Content-Type")?.startsWith("application/problem+json")) {
			if (response.status === 401) current = null;
			const outcome = { outcome_unknown: "unknown", upstream_unreachable: "unreachable", answer_not_kept: response.headers.get("ErpSync-Outcome") }[answer?.reason] ?? "refused";
			return result(response, outcome, answer, answer?.detail);
		}
		if (answer?.dry_run) return result(response, "dry_run", answer, answer.note);
		return result(response, response.headers.get("ErpSync-Outcome") ?? said(response, answer), answer, answer?.UserExplanation);
	}

	// Which internal keys an ERP number, a CRM record or a company's name has. An empty list says that there is none; whatever
	// else happens rejects, with the gateway's reason: a look-up that failed is no company without a key.
	async function find(question) {
		if (!current) throw new Error("Nobody is signed in.");
		const response = await fetch(at(`${prefix}/lookup`), {
			method: "POST", credentials: "include", headers: { "Content-Type": "application/json", Accept: "application/json", "X-XSRF-TOKEN": current.xsrf }, body: JSON.stringify(question),
		});
		if (response.status === 401) current = null;
		const answer = await json(response);
		if (!Array.isArray(answer?.found)) throw new Error("Something answered in the gateway's place.");
		return answer;
	}

	function parsed(text) {
		try {
			return JSON.parse(text);
		} catch {
			return null;
		}
	}

	// What an answer says that is too long for the gateway to have read it first.
	function said(response, answer) {
		if (!response.ok) return "fault";
		return { Ok: "ok", OkWithInfo: "info", Warning: "warning", Error: "error" }[answer?.Status] ?? "unreadable";
	}

	function result(response, outcome, answer, explanation) {
		const header = (name) => response?.headers.get(name) ?? null;
		return {
			ok: ["ok", "info", "warning", "dry_run"].includes(outcome) && response.ok, outcome, explanation: explanation ?? "",
			requestId: header("ErpSync-Request-Id"), replayed: header("ErpSync-Replayed"), status: response?.status ?? 0, reason: answer?.reason ?? null,
			running: answer?.running ?? null, retryAfter: header("Retry-After") && Number(header("Retry-After")), signIn: answer?.sign_in ?? null, answer,
		};
	}

	async function signOut() {
		if (!current) return null;
		const answer = await json(await fetch(at(`${prefix}/sign-out`), { method: "POST", credentials: "include", headers: { "X-XSRF-TOKEN": current.xsrf } }));
		current = null;
		return answer;
	}

	window.erpsync = { session, signIn, call, find, signOut };
})();
