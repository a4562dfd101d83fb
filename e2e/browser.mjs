// Signs a person in through SuperID's page in a real Chromium and calls
// ForceResync from a page beside the gateway, with cookies and XSRF and nothing else.
import { createServer } from "node:http";
import { chromium } from "playwright-core";

const { SITE, USERNAME, PASSWORD, CHROMIUM } = process.env;
const browser = await chromium.launch({
	timeout: 120_000,
	executablePath: CHROMIUM,
	args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const found = {};
try {
	const context = await browser.newContext();
	context.setDefaultTimeout(120_000); // a busy machine is given the time
	const page = await context.newPage();
	await page.goto(`${SITE}/erpsync/sign-in?tenant=Cust12345&return=/page`);
	await page.fill("input[name=username]", USERNAME);
	await page.fill("input[name=password]", PASSWORD);
	await page.click("text=Sign in >> nth=-1");
	await page.waitForURL(`${SITE}/page`);
	found.readable = await page.evaluate(() => document.cookie);
	found.answer = await page.evaluate(async () => {
		const api = new window.SuperOffice.WebApi("", "en");
		const answer = await api.getErpSyncAgent().forceResyncAsync(612, [386, 230]);
		return { isOk: answer.isOk, status: answer.status };
	});
	found.session = await page.evaluate(async () => (await fetch("/erpsync/session")).json());
	delete found.session.xsrf;

	// A page of another site tries the same with the person's cookies.
	const evil = createServer((_, res) => res.setHeader("Content-Type", "text/html").end("<!doctype html><title>evil</title>")).listen(0, "127.0.0.1");
	await new Promise((resolve) => evil.once("listening", resolve));
	const other = await context.newPage();
	await other.goto(`http://127.0.0.1:${evil.address().port}/`);
	found.crossSite = await other.evaluate(async (site) => {
		const tries = [];
		for (const init of [
			{ mode: "no-cors", body: '{"ErpConnectionId":612,"InternalKeyIds":[1]}' },
			{ mode: "cors", body: "{}", headers: { "X-XSRF-TOKEN": "x", "Content-Type": "application/json" } },
		]) {
			tries.push(await fetch(site + "/api/v1/Agents/ErpSync/ForceResync", { method: "POST", credentials: "include", ...init }).then((r) => r.type, () => "blocked"));
		}
		return tries;
	}, SITE);
	await other.setContent(`<form method="post" enctype="text/plain" action="${SITE}/api/v1/Agents/ErpSync/ForceResync"><input name='{"ErpConnectionId":612,"x":"' value='"}'></form>`);
	const [navigation] = await Promise.all([other.waitForResponse((r) => r.url().includes("ErpSync")), other.evaluate(() => document.forms[0].submit())]);
	found.form = navigation.status();
	evil.close();

	found.signOut = await page.evaluate(async () => {
		const { xsrf } = await (await fetch("/erpsync/session")).json();
		const out = await fetch("/erpsync/sign-out", { method: "POST", headers: { "X-XSRF-TOKEN": xsrf } });
		return [out.status, (await fetch("/erpsync/session")).status];
	});
} finally {
	await browser.close();
}
console.log(JSON.stringify(found));
