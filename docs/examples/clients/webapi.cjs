// A service with SuperOffice's own client. It repeats nothing by itself; headers and the time-out go in by axiosConfig, and out by responseCallback.
const { WebApi } = require("@superoffice/webapi");
const { randomUUID } = require("node:crypto");

const { SITE, TENANT, TOKEN, CONNECTION, KEYS } = process.env;
const patience = 25 * 60 * 1000; // the gateway waits 20 minutes for SuperOffice

// send gives the response, whatever its status; null if none came.
async function send(headers) {
	let response = null;
	const api = new WebApi({ baseUrl: `${SITE}/${TENANT}`, languageCode: "en", axiosConfig: { timeout: patience, headers: { Authorization: `Bearer ${TOKEN}`, ...headers } } });
	await api.getErpSyncAgent().forceResyncAsync(Number(CONNECTION), KEYS.split(",").map(Number), { responseCallback: (r) => { response = r; } })
		.catch((error) => { response = error.response ?? null; }); // anything but 2xx is an AxiosError
	return response;
}

// told is what became of the call: not from the status, since a resync that failed is HTTP 200.
function told({ data, headers }) {
	if (data?.reason) return [data.reason === "outcome_unknown" ? "unknown" : "refused", data.detail];
	return [data?.IsOk === false ? "error" : headers["erpsync-outcome"] ?? (data?.IsOk ? "ok" : "unreadable"), data?.UserExplanation || data?.ErrorCode];
}

async function resync() {
	const dry = await send({ "ErpSync-Dry-Run": "true" });
	if (!dry?.data?.dry_run) return ["refused", dry?.data?.detail];
	const key = randomUUID(); // before the first try; the same for every one
	const until = Date.now() + patience;
	for (let again = false; Date.now() < until; again = true) {
		const answer = await send({ "Idempotency-Key": key }); // null: the connection broke
		if (answer && !(again && answer.data?.reason && [409, 429, 503].includes(answer.status))) return told(answer);
		await new Promise((resolve) => setTimeout(resolve, 1000 * (answer?.headers["retry-after"] ?? 3)));
	}
	return ["unknown", "No answer came. Look in SuperOffice before you send it again."];
}

resync().then(([outcome, says]) => {
	console.log("outcome:", outcome, says ?? "");
	process.exitCode = ["ok", "info", "warning"].includes(outcome) ? 0 : 2;
});
