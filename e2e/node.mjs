// Calls ForceResync with the vendor's own client, from Node.
import { createRequire } from "node:module";

// The package's ES modules import without file endings, which Node refuses.
const { WebApi } = createRequire(import.meta.url)("@superoffice/webapi");

const { SITE, KIND, CREDENTIAL, CONNECTION } = process.env;
const api = new WebApi(`${SITE}/Cust12345`, "en");
if (KIND === "ticket") api.authenticateWithTicket(CREDENTIAL);
else api.authenticateWithToken(CREDENTIAL);
try {
	const answer = await api.getErpSyncAgent().forceResyncAsync(Number(CONNECTION), [386, 230]);
	console.log(JSON.stringify({ isOk: answer.isOk, status: answer.status, updated: answer.changes?.updatedRecords?.length ?? 0 }));
} catch (error) {
	console.log(JSON.stringify({ status: error.response?.status, reason: error.response?.data?.reason }));
}
