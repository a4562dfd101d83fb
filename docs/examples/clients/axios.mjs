// A service with axios and a token of its identity provider. No retry library: axios repeats nothing by itself, axios-retry must leave POST alone.
import axios from "axios";
import { randomUUID } from "node:crypto";

const { SITE, TENANT, TOKEN, CONNECTION, KEYS } = process.env;
const patience = 25 * 60 * 1000; // the gateway waits 20 minutes for SuperOffice
const send = (headers) => axios.post(`${SITE}/${TENANT}/api/v1/Agents/ErpSync/ForceResync`,
	{ ErpConnectionId: Number(CONNECTION), InternalKeyIds: KEYS.split(",").map(Number) },
	{ headers: { Authorization: `Bearer ${TOKEN}`, ...headers }, timeout: patience, validateStatus: () => true });

// told is what became of the call: not from the status, since a resync that failed is HTTP 200.
function told({ data, headers }) {
	if (data?.reason) return [data.reason === "outcome_unknown" ? "unknown" : "refused", data.detail];
	return [data?.IsOk === false ? "error" : headers["erpsync-outcome"] ?? (data?.IsOk ? "ok" : "unreadable"), data?.UserExplanation || data?.ErrorCode];
}

async function resync() {
	const dry = await send({ "ErpSync-Dry-Run": "true" });
	if (!dry.data?.dry_run) return ["refused", dry.data?.detail];
	const key = randomUUID(); // before the first try; the same for every one
	const until = Date.now() + patience;
	for (let again = false; Date.now() < until; again = true) {
		const answer = await send({ "Idempotency-Key": key }).catch(() => null); // null: the connection broke
		if (answer && !(again && answer.data?.reason && [409, 429, 503].includes(answer.status))) return told(answer);
		await new Promise((resolve) => setTimeout(resolve, 1000 * (answer?.headers["retry-after"] ?? 3)));
	}
	return ["unknown", "No answer came. Look in SuperOffice before you send it again."];
}

const [outcome, says] = await resync();
console.log("outcome:", outcome, says ?? "");
process.exitCode = ["ok", "info", "warning"].includes(outcome) ? 0 : 2;
