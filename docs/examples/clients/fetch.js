// A page of the gateway's own origin, with a signed-in person: import { resync } from "./fetch.js".
const patience = 25 * 60 * 1000; // the gateway waits 20 minutes for SuperOffice

export async function resync(connection, keys) {
	const session = await (await fetch("/erpsync/session")).json();
	const send = (headers) => fetch(`${session.agent}ForceResync`, {
		method: "POST",
		body: JSON.stringify({ ErpConnectionId: connection, InternalKeyIds: keys }),
		headers: { "Content-Type": "application/json", "X-XSRF-TOKEN": session.xsrf, ...headers },
		signal: AbortSignal.timeout(patience),
	}).then(async (r) => ({ status: r.status, header: (name) => r.headers.get(name), body: await r.json().catch(() => null) }));

	const dry = await send({ "ErpSync-Dry-Run": "true" });
	if (!dry.body?.dry_run) return { outcome: "refused", says: dry.body?.detail };

	const key = crypto.randomUUID(); // before the first try; the same for every one
	const until = Date.now() + patience;
	for (let again = false; Date.now() < until; again = true) {
		const answer = await send({ "Idempotency-Key": key }).catch(() => null); // null: the connection broke
		// Browsers repeat a POST by themselves when a connection that was used before breaks: then even the first try finds itself running.
		const running = answer?.body?.same_key;
		if (answer && !running && !(again && answer.body?.reason && [409, 429, 503].includes(answer.status))) return told(answer);
		await new Promise((resolve) => setTimeout(resolve, 1000 * (answer?.header("Retry-After") ?? 3)));
	}
	return { outcome: "unknown", says: "No answer came. Look in SuperOffice before you send it again." };
}

// told is what became of the call: not from the status, since a resync that failed is HTTP 200.
function told({ header, body }) {
	if (body?.reason) return { outcome: body.reason === "outcome_unknown" ? "unknown" : "refused", says: body.detail };
	const outcome = body?.IsOk === false ? "error" : header("ErpSync-Outcome") ?? (body?.IsOk ? "ok" : "unreadable");
	return { outcome, says: body?.UserExplanation || body?.ErrorCode };
}
