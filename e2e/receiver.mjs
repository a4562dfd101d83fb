// A receiver of notices, as docs/notices.md has it. It prints a line for each message, and what the library of the
// specification says of its signature.
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const hook = new Webhook(process.env.WEBHOOK_SECRET);
createServer((request, response) => {
	const chunks = [];
	request.on("data", (chunk) => chunks.push(chunk));
	request.on("end", () => {
		const found = { path: request.url, type: request.headers["content-type"], id: request.headers["webhook-id"] };
		try {
			found.event = hook.verify(Buffer.concat(chunks).toString(), request.headers);
		} catch (problem) {
			found.problem = String(problem);
		}
		console.log(JSON.stringify(found));
		response.writeHead(found.problem ? 401 : 204).end();
	});
}).listen(Number(process.env.PORT), "127.0.0.1");
