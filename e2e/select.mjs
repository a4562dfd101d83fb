// Asks for the same fields with and without the gateway, with the vendor's own
// client, and prints what differs among those that were asked for.
import { createRequire } from "node:module";

const { WebApi } = createRequire(import.meta.url)("@superoffice/webapi");

const { SITE, DIRECT, TICKET, APP_TOKEN } = process.env;
const fields = ["IsOk", "UserExplanation", "TechExplanation", "ErrorCode", "Changes", "Status", "TableRight", "FieldProperties"];
const selections = [null, "", "isok,STATUS", fields.join(","), "Changes,FieldProperties", ...fields];

async function ask(base, direct, selection, connection) {
	const api = new WebApi(`${base}/Cust12345`, "en");
	api.authenticateWithTicket(TICKET);
	if (direct) api.applicationToken(APP_TOKEN);
	const agent = api.getErpSyncAgent();
	if (selection !== null) agent._options.axiosConfig = { ...agent._options.axiosConfig, params: { $select: selection } };
	return agent.forceResyncAsync(connection, [386, 230]);
}

const differing = [];
let compared = 0;
for (const connection of [612, 613]) {
	for (const selection of selections) {
		const [direct, through] = [await ask(DIRECT, true, selection, connection), await ask(SITE, false, selection, connection)];
		const asked = selection ? selection.toLowerCase().split(",") : fields.map((f) => f.toLowerCase());
		for (const name of Object.keys(direct).filter((n) => asked.includes(n.toLowerCase()))) {
			compared++;
			if (JSON.stringify(direct[name]) !== JSON.stringify(through[name])) differing.push({ connection, selection, name, direct: direct[name], through: through[name] });
		}
	}
}
console.log(JSON.stringify({ compared, differing }));
