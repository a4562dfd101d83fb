// A SuperOffice web panel in a real Chromium: a page of another site frames the
// panel's page, which signs in in a pop-up and calls with a session of its own.
import { createServer } from "node:http";
import { chromium } from "playwright-core";

const { SITE, USERNAME, PASSWORD, CHROMIUM, ASSOCIATE } = process.env;
const browser = await chromium.launch({
	timeout: 120_000,
	executablePath: CHROMIUM,
	args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const found = {};
const outer = createServer((req, res) => {
	const usid = new URL(req.url, "http://x").searchParams.get("usid");
	res.setHeader("Content-Type", "text/html").end(`<!doctype html><title>SuperOffice</title><iframe name="panel" src="${SITE}/page?uctx=Cust12345&usid=${usid}"></iframe>`);
}).listen(0, "127.0.0.1");
await new Promise((resolve) => outer.once("listening", resolve));
const client = (usid) => `http://127.0.0.1:${outer.address().port}/?usid=${usid}`;
try {
	const context = await browser.newContext();
	context.setDefaultTimeout(120_000); // a busy machine is given the time
	const page = await context.newPage();
	const signIn = async () => {
		const frame = page.frame("panel");
		await frame.waitForSelector("button");
		const [popup] = await Promise.all([page.waitForEvent("popup"), frame.click("button")]);
		await popup.fill("input[name=username]", USERNAME);
		await popup.fill("input[name=password]", PASSWORD);
		found.urls = [popup.url()];
		popup.on("framenavigated", (f) => found.urls.push(f.url()));
		await popup.click("text=Sign in >> nth=-1");
		await frame.waitForFunction(() => window.result);
		return frame.evaluate(() => window.result);
	};
	await page.goto(client(ASSOCIATE));
	await page.frame("panel").waitForSelector("button");
	found.before = await page.frame("panel").evaluate(() => erpsync.session());
	// Somebody who declines, and somebody who closes the window.
	const leave = async (how) => {
		const frame = page.frame("panel");
		const [popup] = await Promise.all([page.waitForEvent("popup"), frame.click("button")]);
		await popup.waitForSelector("button[value=decline]");
		const gone = popup.waitForEvent("close");
		await how(popup);
		await gone;
		await frame.waitForFunction(() => window.result);
		return frame.evaluate(() => window.result);
	};
	found.declined = await leave((popup) => popup.click("button[value=decline]"));
	found.closed = await leave((popup) => popup.close());
	found.signedIn = await signIn();
	delete found.signedIn.xsrf;
	const call = (...args) => page.frame("panel").evaluate((args) => erpsync.call(...args), args);
	const body = (connection, ...keys) => ({ ErpConnectionId: connection, InternalKeyIds: keys });
	found.calls = {
		ran: await call("ForceResync", body(612, 386)),
		failed: await call("ForceResync", body(613, 386)),
		dry: await call("ForceResync", body(612, 386), { dryRun: true }),
		first: await call("ForceResync", body(612, 230), { idempotencyKey: "a" }),
		again: await call("ForceResync", body(612, 230), { idempotencyKey: "a" }),
		all: await call("ForceResync", { ErpConnectionId: 612 }, { confirm: true }),
		lost: await call("ForceResync", body(614, 386)),
		cut: await call("ForceResync", body(615, 386)),
		status: await call("GetEngineStatus"),
	};
	const find = (question) => page.frame("panel").evaluate((question) => erpsync.find(question).catch((e) => ({ reason: e.reason ?? e.message })), question);
	found.finds = {
		company: await find({ connection: 612, contact: 40386 }),
		none: await find({ connection: 612, contact: 386 }),
		wrong: await find({ connection: 612, contact: 386, erp: "1" }),
	};
	// The same in a page of its own, not framed: another partition, nobody is signed in.
	const plain = await context.newPage();
	await plain.goto(`${SITE}/page?uctx=Cust12345&usid=${ASSOCIATE}`);
	found.unframed = await plain.evaluate(async () => (await fetch("/erpsync/session")).status);
	// SuperOffice shows the panel to somebody else: the session is not theirs.
	await page.goto(client(Number(ASSOCIATE) + 1));
	await page.frame("panel").waitForSelector("button");
	found.another = await page.frame("panel").evaluate(() => erpsync.session().catch((e) => e.reason));
	found.anotherSignsIn = (await signIn()).reason;
} finally {
	outer.close();
	await browser.close();
}
console.log(JSON.stringify(found));
