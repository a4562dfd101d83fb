// What pages of other sites can do with a signed-in person's browser: nothing.
import { createServer } from "node:http";
import { chromium } from "playwright-core";

const { SITE, USERNAME, PASSWORD, CHROMIUM } = process.env;
const call = `${SITE}/Cust12345/api/v1/Agents/ErpSync/ForceResync`;
const body = '{"ErpConnectionId":612,"InternalKeyIds":[1]}';
const browser = await chromium.launch({
	timeout: 120_000,
	executablePath: CHROMIUM,
	args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const tried = {};
const evil = createServer((_, res) => res.setHeader("Content-Type", "text/html").end("<!doctype html><title>evil</title>")).listen(0, "127.0.0.1");
await new Promise((resolve) => evil.once("listening", resolve));
const port = evil.address().port;
try {
	const context = await browser.newContext();
	context.setDefaultTimeout(120_000); // a busy machine is given the time
	const page = await context.newPage();
	await page.goto(`${SITE}/erpsync/sign-in?tenant=Cust12345&return=/erpsync/session`);
	await page.fill("input[name=username]", USERNAME);
	await page.fill("input[name=password]", PASSWORD);
	await page.click("text=Sign in >> nth=-1");
	await page.waitForURL(`${SITE}/erpsync/session`);
	await page.goto(`${SITE}/erpsync/live`); // a page of the gateway's own may fetch nothing
	const { xsrf } = await page.evaluate(async () => (await fetch("/erpsync/session")).json());

	// From another site, and from a sibling of the gateway's own host that plants cookies.
	for (const origin of [`http://127.0.0.1:${port}`, `http://evil.localhost:${port}`]) {
		const other = await context.newPage();
		await other.goto(origin);
		tried[origin] = await other.evaluate(async ({ call, body, xsrf }) => {
			const results = {};
			for (const planted of ["XSRF-TOKEN=planted; domain=localhost; path=/", "__Host-erpsync=planted; domain=localhost; path=/", "__Host-erpsync=planted; path=/; secure", "__Host-erpsync-framed=planted; path=/; secure"]) document.cookie = planted;
			const attempt = async (name, init, url = call) => (results[name] = await fetch(url, { method: "POST", credentials: "include", body, ...init }).then((r) => r.type + r.status, () => "blocked"));
			await attempt("plain", { mode: "no-cors" });
			await attempt("json", { headers: { "Content-Type": "application/json" } });
			await attempt("stolen token", { headers: { "Content-Type": "application/json", "X-XSRF-TOKEN": xsrf } });
			await attempt("form fields", { mode: "no-cors", body: new URLSearchParams({ ErpConnectionId: "612", InternalKeyIds: "1" }) });
			await attempt("overridden method", { mode: "no-cors" }, `${call}?_method=POST`);
			results.beacon = navigator.sendBeacon(call, new Blob([body], { type: "text/plain" }));
			results.image = await new Promise((resolve) => {
				const image = new Image();
				image.onload = image.onerror = (e) => resolve(e.type);
				image.src = call;
			});
			results.script = await new Promise((resolve) => {
				const script = document.createElement("script");
				script.onload = script.onerror = (e) => resolve(e.type);
				script.src = call;
				document.body.append(script);
			});
			return results;
		}, { call, body, xsrf });
		// A page without an origin: a sandboxed iframe, whose Origin is null.
		tried[origin].sandboxed = await other.evaluate(({ call, body }) => new Promise((resolve) => {
			const frame = document.createElement("iframe");
			frame.sandbox = "allow-scripts allow-forms";
			frame.srcdoc = `<script>fetch(${JSON.stringify(call)}, { method: "POST", mode: "no-cors", credentials: "include", body: ${JSON.stringify(body)} }).then((r) => parent.postMessage(r.type, "*"), () => parent.postMessage("blocked", "*"))</script>`;
			addEventListener("message", (e) => resolve(e.data), { once: true });
			document.body.append(frame);
		}), { call, body });
		// A form, in a frame and in the page.
		for (const target of ["frame", "_self"]) {
			await other.evaluate(({ call, target }) => {
				document.body.innerHTML = `<iframe name="frame"></iframe><form method="post" target="${target}" enctype="text/plain" action="${call}"><input name='{"ErpConnectionId":612,"x":"' value='"}'></form>`;
			}, { call, target });
			const [answer] = await Promise.all([other.waitForResponse((r) => r.url().includes("ErpSync")), other.evaluate(() => document.forms[0].submit())]);
			tried[origin][`form in ${target}`] = answer.status();
		}
		// Signing the person out, or in as somebody else, from outside.
		const last = await context.newPage();
		await last.goto(origin);
		tried[origin].signOut = await last.evaluate(async (site) => fetch(`${site}/erpsync/sign-out`, { method: "POST", mode: "no-cors", credentials: "include" }).then((r) => r.type, () => "blocked"), SITE);
		await other.close();
		await last.close();
	}
	tried.stillSignedIn = await page.evaluate(async () => (await fetch("/erpsync/session")).status);
	tried.framed = await (async () => {
		const other = await context.newPage();
		await other.goto(`http://127.0.0.1:${port}`);
		await other.setContent(`<iframe src="${SITE}/erpsync/session"></iframe>`);
		const frame = await (await other.waitForSelector("iframe")).contentFrame();
		await frame.waitForLoadState();
		return /xsrf|signed in/.test(await frame.evaluate(() => document.body.innerText).catch(() => ""));
	})();
} finally {
	evil.close();
	await browser.close();
}
console.log(JSON.stringify(tried));
