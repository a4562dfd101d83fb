// A signed-in page that resyncs: dry run first, then the resync, then its outcome in words. To copy it, serve this
// folder at the gateway's own origin, as page.Caddyfile does.
"use strict";

// Where the gateway's endpoints are: the option prefix of browser.
const gateway = "/erpsync";

// A resync takes as long as it takes; the gateway waits 20 minutes for it.
const patience = 25 * 60 * 1000;

const element = (id) => document.getElementById(id);
const query = new URLSearchParams(location.search);
let session = null; // who is signed in
let checked = null; // the body that a dry run allowed, and the Idempotency-Key that it will be sent with
let edits = 0; // how often the form was changed
let busy = false;

// Asking

// ask returns what the gateway answered, or null if no answer of its own arrived.
async function ask(path, init) {
	try {
		const response = await fetch(path, { ...init, cache: "no-store" });
		const requestId = response.headers.get("ErpSync-Request-Id");
		if (!requestId) return null; // something in between answered
		const text = await response.text();
		let body = null;
		try {
			body = JSON.parse(text);
		} catch {
			// no JSON: the outcome says so
		}
		return { status: response.status, header: (name) => response.headers.get(name), body, requestId };
	} catch {
		return null;
	}
}

function call(body, headers) {
	return ask(`${session.agent}ForceResync`, {
		method: "POST",
		body,
		headers: { "Content-Type": "application/json", Accept: "application/json", "X-XSRF-TOKEN": session.xsrf, ...headers },
		signal: AbortSignal.timeout(patience),
	});
}

// late reports whether nobody should ask about an attempt any more: if it never arrived, it would run now.
const late = (attempt) => Date.now() - attempt.began > patience;
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));
const retryAfter = (answer, otherwise) => Number(answer?.header("Retry-After")) || otherwise;

// asked asks for a call that goes on, and waits for its end for a while.
const asked = (address) => ask(address, { headers: { Accept: "application/json", "X-XSRF-TOKEN": session.xsrf, Prefer: "wait=20" } });
const goesOn = { tone: "wait", title: "Still running", text: "The resync goes on. This page asks until its answer is there." };

// resync sends a call and stays with it until its answer is here. Its key was made before the first try, so that it can
// be asked about again: it runs once, however often it is sent. It is kept for a reload too.
async function resync(attempt) {
	if (attempt.call) show(goesOn); // after a reload
	for (let again = attempt.sent; ; again = true) {
		attempt.sent = true;
		sessionStorage.setItem("resync", JSON.stringify(attempt));
		const answer = attempt.call ? await asked(attempt.call) : await call(attempt.body, { "Idempotency-Key": attempt.key, Prefer: "respond-async" });
		const reason = answer?.body?.reason;
		// 202 is not done: the resync has begun, and its answer will be at an address of its own. What has ErpSync-Replayed is that answer.
		const replayed = answer?.header("ErpSync-Replayed");
		if (answer?.status === 202 && answer.body?.state === "running" && !replayed) {
			if (late(attempt)) return null;
			if (again) show(goesOn);
			if (attempt.call && !answer.header("Preference-Applied")) await pause(retryAfter(answer, 3));
			attempt.call = answer.body.call;
			continue;
		}
		// Browsers repeat a POST by themselves when a connection that was used before breaks: then even the first try finds itself running.
		const undecided = !answer || answer.body?.same_key || (again && !replayed && (reason === "call_running" || (reason && [429, 503].includes(answer.status))));
		if (!undecided) {
			// After a sign-in it is asked about again.
			if (!again || (answer.status !== 401 && reason !== "xsrf_invalid")) sessionStorage.removeItem("resync");
			return answer;
		}
		if (late(attempt)) return null;
		show(reason === "call_running"
			? { tone: "wait", title: "Still running", text: "The connection broke, and the resync goes on. This page asks until its answer is there." }
			: { tone: "wait", title: "No answer yet", text: "The connection broke. This page asks again; the resync runs once all the same." });
		await pause(retryAfter(answer, 3));
	}
}

// Words

// outcomeOf is what the call came to, from ErpSync-Outcome and the body. HTTP 200 does not mean that it worked.
function outcomeOf(answer) {
	const told = answer.header("ErpSync-Outcome");
	const { IsOk, Status } = answer.body ?? {};
	if (IsOk === false && (!told || ["ok", "info", "warning"].includes(told))) return "error";
	if (told) return told;
	if (answer.status !== 200) return "fault";
	return IsOk === true && Status !== "Error" ? "ok" : "unreadable"; // an answer of more than 960 KiB has no header
}

const look = "Look in SuperOffice whether it ran before you repeat it.";
const outcomes = {
	ok: ["good", "Resynced", ""],
	info: ["good", "Resynced, with a note", ""],
	warning: ["unsure", "Resynced, with a warning", ""],
	error: ["bad", "The resync failed", "SuperOffice or the ERP system refused it."],
	contradictory: ["unsure", "The answer contradicts itself", "SuperOffice says both that it worked and that it did not. " + look],
	masked: ["unsure", "The outcome was not asked for", look],
	accepted: ["unsure", "Taken as a batch task", "SuperOffice does not report its outcome."],
	empty: ["bad", "SuperOffice answered nothing", "A resync that failed is answered so. " + look],
	unreadable: ["unsure", "The answer cannot be read", "Something answered in SuperOffice's place. " + look],
	fault: ["bad", "SuperOffice answered with an error", "The resync did not end well. " + look],
};

// What a person can do about a refusal. The sentence that says what happened is the gateway's.
const refusals = {
	call_running: ["wait", "The same resync is running already", "There is no need to send it again."],
	rate_limited: ["wait", "Too many calls at once", ""],
	too_many_in_flight: ["wait", "Too many resyncs are running", ""],
	cooling_down: ["wait", "Resynced a short time ago", ""],
	outcome_unknown: ["unsure", "Nobody knows whether it ran", look],
	call_not_found: ["unsure", "Nobody knows whether it ran", look],
	answer_not_kept: ["unsure", "It ran, and its answer is gone", look],
	upstream_unreachable: ["bad", "SuperOffice could not be reached", "You may try again."],
	upstream_answer_refused: ["unsure", "The answer cannot be passed on", look],
	tenant_not_running: ["bad", "SuperOffice is not running", ""],
	session_store_unavailable: ["bad", "Your session cannot be looked up", ""],
	xsrf_invalid: ["bad", "This page is out of date", "Load it again."],
	lookup_not_granted: ["bad", "Keys cannot be looked up here", "Ask your administrator."],
	lookup_failed: ["bad", "The look-up failed", "Nobody knows whether there is a key."],
	consent_required: ["bad", "SuperOffice asks for the approval again", "Tell your administrator."],
};

function found(answer, contact) {
	const keys = answer.body.found.map((match) => match.key).filter(Boolean);
	if (!keys.length) return { tone: "unsure", title: "No key", text: `Company ${contact} is not synchronised through connection ${answer.body.connection}, or you may not see that.`, facts: [["Request", answer.requestId]] };
	const numbers = answer.body.found.map((match) => match.erp_key).filter(Boolean);
	return {
		tone: "good", title: keys.length > 1 ? "Found the keys" : "Found the key",
		text: `Company ${contact} has ${keys.length > 1 ? "the keys" : "the key"} ${keys.join(", ")} through connection ${answer.body.connection}. Press Dry run to go on.`,
		facts: [["ERP number", numbers.join(", ")], ["Request", answer.requestId]],
	};
}

function refused(answer) {
	const reason = answer.body?.reason;
	const [tone, title, advice] = refusals[reason] ?? (
		answer.status === 401 ? ["bad", "Your session has ended", "Sign in again to go on."]
		: answer.status === 403 ? ["bad", "This is not allowed", "Ask your administrator."]
		: answer.status === 503 || answer.status === 504 ? ["bad", "Not available now", ""]
		: answer.status < 500 ? ["bad", "The request was refused", ""]
		: ["bad", "The gateway could not serve this", "Tell your administrator."]);
	return { tone, title, text: [answer.status !== 401 && answer.body?.detail, advice, reason !== "call_running" && again(answer)].filter(Boolean).join(" "), facts: [["Reason", reason], ["Outcome", answer.header("ErpSync-Outcome")], ["Request", answer.header("ErpSync-Replayed") ?? answer.requestId]] };
}

function resynced(answer) {
	const outcome = outcomeOf(answer);
	let [tone, title, otherwise] = outcomes[outcome] ?? outcomes.unreadable;
	if (outcome === "fault" && [429, 503].includes(answer.status)) [title, otherwise] = ["SuperOffice is busy or down", `It answered HTTP ${answer.status}. ${look}`];
	const { UserExplanation, ErrorCode, Changes } = answer.body ?? {};
	const changed = [["added", Changes?.AddedRecords], ["updated", Changes?.UpdatedRecords], ["deleted", Changes?.DeletedRecords]]
		.filter(([, records]) => records?.length).map(([word, records]) => `${records.length} ${word}`);
	const fine = tone === "good" || outcome === "warning";
	return {
		tone, title,
		text: [UserExplanation || otherwise, fine && (changed.length ? `Records: ${changed.join(", ")}.` : "SuperOffice reports no changed record."), again(answer)].filter(Boolean).join(" "),
		facts: [["Outcome", outcome], ["Error code", ErrorCode], ["Request", answer.header("ErpSync-Replayed") ?? answer.requestId]],
	};
}

// again is when to try again, as far as that was said.
const again = (answer) => answer.header("Retry-After") && `Try again in ${duration(retryAfter(answer, 1))}.`;

const unreachable = { tone: "bad", title: "No answer", text: "The gateway cannot be reached. Check your connection." };
const lost = { tone: "unsure", title: "Nobody knows whether it ran", text: "The answer of the last resync did not arrive. " + look };

const duration = (seconds) => seconds < 90 ? `${seconds} ${seconds === 1 ? "second" : "seconds"}` : `${Math.round(seconds / 60)} minutes`;
const count = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;

// The page

function show({ tone, title, text, facts = [], link }) {
	const result = element("result");
	const heading = Object.assign(document.createElement("h2"), { textContent: title });
	const parts = [heading, Object.assign(document.createElement("p"), { textContent: text })];
	if (link) parts.push(Object.assign(document.createElement("a"), { href: link.href, textContent: link.text }));
	const known = facts.filter(([, value]) => value);
	if (known.length) {
		const list = document.createElement("dl");
		for (const [name, value] of known) list.append(Object.assign(document.createElement("dt"), { textContent: name }), Object.assign(document.createElement("dd"), { textContent: value }));
		parts.push(list);
	}
	result.dataset.tone = tone;
	result.replaceChildren(...parts);
	result.scrollIntoView({ block: "nearest" });
}

function showSession() {
	element("who").hidden = element("form").hidden = !session;
	element("signed-out").hidden = Boolean(session);
	const back = new URLSearchParams({ return: location.pathname + location.search });
	if (query.get("tenant")) back.set("tenant", query.get("tenant"));
	element("sign-in").href = `${gateway}/sign-in?${back}`;
	if (!session) return;
	element("user").textContent = session.user;
	element("tenant").textContent = session.tenant;
	element("expires").dateTime = session.expires;
	element("expires").textContent = new Date(session.expires).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

// mark names what is wrong with a field, or clears it.
function mark(field, problem) {
	element(field).setAttribute("aria-invalid", String(Boolean(problem)));
	if (problem) {
		show({ tone: "bad", title: "Nothing was sent", text: problem });
		element(field).focus();
	}
	return !problem;
}

// body returns the call that the form describes, or null. No key at all would mean every record: this page never sends that.
function body() {
	const number = (text) => /^-?\d+$/.test(text) && Math.abs(Number(text)) < 2 ** 31;
	const connection = element("connection").value.trim();
	const keys = element("keys").value.split(/[\s,;]+/).filter(Boolean);
	const wrong = keys.find((key) => !number(key));
	if (!mark("connection", !number(connection) && "The connection is a number, such as 612.")) return null;
	if (!mark("keys", !keys.length ? "Name at least one key." : wrong !== undefined && `“${wrong}” is not a key. Keys are numbers, such as 386.`)) return null;
	return JSON.stringify({ ErpConnectionId: Number(connection), InternalKeyIds: keys.map(Number) });
}

function allow(what) {
	checked = what;
	element("resync").setAttribute("aria-disabled", String(!what));
	element("resync-hint").textContent = what ? "The dry run went well. Resync sends this call." : "A dry run comes first. It says what would be sent, and resyncs nothing.";
}

// alone runs one thing at a time, and says that it runs.
async function alone(title, text, action) {
	if (busy) return;
	busy = true;
	element("form").setAttribute("aria-busy", "true");
	show({ tone: "wait", title, text });
	try {
		await action();
	} finally {
		busy = false;
		element("form").removeAttribute("aria-busy");
	}
}

function end(answer, words, otherwise = unreachable) {
	if (answer?.status === 401) {
		session = null;
		showSession();
		element("sign-in").focus();
	}
	show(!answer ? otherwise : answer.body?.reason ? refused(answer) : words(answer));
}

element("form").addEventListener("input", () => {
	edits++;
	allow(null);
});

element("form").addEventListener("submit", (event) => {
	event.preventDefault();
	const what = body();
	if (!what) return;
	alone("Asking", "Nothing is resynced.", async () => {
		// With the key, since calls without one are refused for more: while the same call may be running still, for one.
		const before = edits, key = crypto.randomUUID();
		const answer = await call(what, { "ErpSync-Dry-Run": "ask", "Idempotency-Key": key });
		const inactive = answer?.body?.connection_active === false;
		if (answer?.body?.dry_run && !inactive && edits === before) allow({ body: what, key });
		end(answer, ({ body: would }) => inactive ? { tone: "bad", title: "This would fail", text: `SuperOffice has no active connection ${would.connection_id}.` } : ({
			tone: "good", title: "Dry run: this may be sent",
			text: `${count(would.keys, "key")} through connection ${would.connection_id} of ${would.tenant}, as ${would.call_as === "user" ? "yourself" : "the app's system user"}. Whether the ERP system takes them, the resync will tell.`,
			facts: [["Request", answer.requestId]],
		}));
	});
});

function send(attempt) {
	allow(null); // the next resync needs a dry run of its own
	return alone("Resyncing", "This can take minutes. It goes on if you close the page.", async () => {
		const answer = await resync(attempt);
		if (!answer) sessionStorage.removeItem("resync");
		end(answer, resynced, lost);
	});
}

// The company that is open in SuperOffice: its web panel's address has the id.
const company = /^\d+$/.test(query.get("contact") ?? "") ? Number(query.get("contact")) : 0;

element("find").addEventListener("click", () => {
	const connection = element("connection").value.trim();
	if (!mark("connection", !/^[1-9]\d*$/.test(connection) && "Keys are found through one ERP connection. It is a number, such as 612.")) return;
	alone("Looking", "Nothing is resynced.", async () => {
		const before = edits;
		const answer = await ask(`${gateway}/lookup`, {
			method: "POST",
			headers: { "Content-Type": "application/json", Accept: "application/json", "X-XSRF-TOKEN": session.xsrf },
			body: JSON.stringify({ connection: Number(connection), contact: company }),
		});
		const keys = answer?.body?.found?.map((match) => match.key).filter(Boolean) ?? [];
		if (keys.length && edits === before) {
			edits++;
			allow(null);
			element("keys").value = keys.join(", ");
			mark("keys", "");
		}
		end(answer, (known) => Array.isArray(known.body?.found) ? found(known, company) : unreachable);
	});
});

element("resync").addEventListener("click", () => {
	if (busy) return;
	const what = body();
	if (!what) return;
	if (what !== checked?.body) {
		show({ tone: "wait", title: "Dry run first", text: "Press Dry run: it says what would be sent, and resyncs nothing." });
		return;
	}
	send({ ...checked, tenant: session.tenant, user: session.user, began: Date.now(), sent: false });
});

element("sign-out").addEventListener("click", async () => {
	const answer = await ask(`${gateway}/sign-out`, { method: "POST", headers: { "X-XSRF-TOKEN": session.xsrf } });
	if (answer?.status !== 200) return end(answer, refused);
	session = null;
	sessionStorage.removeItem("resync");
	showSession();
	show({ tone: "good", title: "Signed out", text: "You are signed out here.", link: { href: answer.body.sign_out, text: "Sign out of SuperOffice too" } });
	element("sign-in").focus();
});

(async () => {
	element("connection").value = query.get("connection") ?? "";
	element("keys").value = query.get("keys") ?? "";
	element("open").hidden = !company;
	element("company").textContent = company;
	const answer = await ask(`${gateway}/session`);
	session = answer?.status === 200 ? answer.body : null;
	showSession();
	if (!session && answer?.status !== 401) return end(answer, refused);
	// A resync that was under way when the page was left.
	const attempt = JSON.parse(sessionStorage.getItem("resync") ?? "null");
	if (!session || attempt?.tenant !== session.tenant || attempt.user !== session.user) return;
	if (!late(attempt)) return send(attempt);
	sessionStorage.removeItem("resync");
	show(lost);
})();
