// For the page of a SuperOffice web panel: signs people in in a pop-up and
// gives the iframe a session of its own. Include it from the gateway:
//
//   <script src="/erpsync/panel.js"></script>
//   const session = (await erpsync.session()) ?? null;    // null: nobody is signed in
//   button.onclick = async () => use(await erpsync.signIn());
//   await erpsync.call("ForceResync", { ErpConnectionId: 612, InternalKeyIds: [386] });
"use strict";
(() => {
	const script = new URL(document.currentScript.src);
	const prefix = script.pathname.replace(/\/panel\.js$/, "");
	const at = (path) => script.origin + path;
	// What SuperOffice's client adds to a panel's URL: the tenant and the person it is shown to.
	const query = new URLSearchParams(location.search);
	const shown = { uctx: query.get("uctx") ?? "", usid: query.get("usid") ?? "" };
	let current = null;

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

	// Call it from a click: browsers open pop-ups for clicks alone.
	function signIn() {
		const verifier = base64url(crypto.getRandomValues(new Uint8Array(32)));
		const popup = open("about:blank", "_blank", "popup,width=520,height=680");
		if (!popup) return Promise.reject(new Error("The browser did not open the sign-in window."));
		return new Promise((resolve, reject) => {
			const closed = setInterval(() => {
				if (popup.closed) done(() => reject(new Error("The sign-in window was closed.")), 1000);
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
				if (event.source !== popup || event.origin !== script.origin || typeof event.data?.erpsync !== "string") return;
				const body = JSON.stringify({ code: event.data.erpsync, verifier, panel: shown });
				done(() => fetch(at(`${prefix}/hand-over`), { method: "POST", credentials: "include", headers: { "Content-Type": "application/json" }, body })
					.then(json).then((signedIn) => resolve((current = signedIn)), reject));
			}
			addEventListener("message", listen);
			crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier)).then((digest) => {
				const ask = new URLSearchParams({ panel: base64url(new Uint8Array(digest)), opener: location.origin });
				if (shown.uctx) ask.set("tenant", shown.uctx);
				popup.location.replace(at(`${prefix}/sign-in?${ask}`));
			}, reject);
		});
	}

	async function call(operation, body) {
		if (!current) throw new Error("Nobody is signed in.");
		const response = await fetch(at(`/${current.tenant}/api/v1/Agents/ErpSync/${operation}`), {
			method: "POST", credentials: "include", body: JSON.stringify(body ?? {}),
			headers: { "Content-Type": "application/json", Accept: "application/json", "X-XSRF-TOKEN": current.xsrf },
		});
		return response.status === 204 ? null : json(response);
	}

	async function signOut() {
		if (!current) return null;
		const answer = await json(await fetch(at(`${prefix}/sign-out`), { method: "POST", credentials: "include", headers: { "X-XSRF-TOKEN": current.xsrf } }));
		current = null;
		return answer;
	}

	window.erpsync = { session, signIn, call, signOut };
})();
