// A long resync with fetch, in Node 20 or later: it goes on without its connection, so that no time-out on the way matters.
const { SITE, TENANT, TOKEN, CONNECTION, KEYS, WAIT = "wait=20" } = process.env; // WAIT is below the shortest time-out on the way
const call = `${SITE}/${TENANT}/api/v1/Agents/ErpSync/ForceResync`;
const body = JSON.stringify({ ErpConnectionId: Number(CONNECTION), InternalKeyIds: KEYS.split(",").map(Number) });
const patience = 25 * 60 * 1000; // the gateway waits 20 minutes for SuperOffice
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

// ask resolves to the answer, or to null where none of the gateway's arrived: the call goes on all the same.
async function ask(url, init) {
	try {
		const response = await fetch(url, { ...init, redirect: "manual", headers: { Authorization: `Bearer ${TOKEN}`, ...init.headers }, signal: AbortSignal.timeout(90_000) });
		if (!response.headers.get("ErpSync-Request-Id")) return null; // something on the way answered
		const header = (name) => response.headers.get(name);
		return { status: response.status, header, read: init.method !== "POST", body: await response.json().catch(() => null) };
	} catch {
		return null;
	}
}

async function resync() {
	const key = crypto.randomUUID(); // before the first try
	let address = null;
	for (const until = Date.now() + patience; Date.now() < until;) {
		const answer = address
			? await ask(address, { headers: { Prefer: WAIT } })
			: await ask(call, { method: "POST", body, headers: { "Content-Type": "application/json", "Idempotency-Key": key, Prefer: `respond-async, ${WAIT}` } }); // the same until it is taken
		if (answer?.header("ErpSync-Replayed")) return told(answer); // the call's own answer, whatever its status
		if (answer?.status === 202 && answer.body?.state === "running") { // not done
			if (address && !answer.header("Preference-Applied")) await pause(answer.header("Retry-After"));
			address = new URL(answer.header("Location") ?? answer.body.call, SITE);
			continue;
		}
		if (answer && ![409, 429, 503].includes(answer.status)) return told(answer);
		await pause(answer?.header("Retry-After") ?? 1);
	}
	return { outcome: "unknown", says: "No answer came. Look in SuperOffice before you send it again." };
}

// told is what became of the call: not from the status, since a resync that failed is HTTP 200.
function told({ header, body, read }) {
	if (body?.reason) { // 404 and 401 of a GET: nobody is told of the call any more
		const lost = body.reason === "outcome_unknown" || read && !header("ErpSync-Replayed");
		return { outcome: header("ErpSync-Outcome") ?? (lost ? "unknown" : "refused"), says: body.detail };
	}
	const outcome = body?.IsOk === false ? "error" : header("ErpSync-Outcome") ?? (body?.IsOk ? "ok" : "unreadable");
	return { outcome, says: body?.UserExplanation || body?.ErrorCode || "" };
}

const { outcome, says } = await resync();
console.log("outcome:", outcome, says);
process.exitCode = ["ok", "info", "warning"].includes(outcome) ? 0 : 2;
