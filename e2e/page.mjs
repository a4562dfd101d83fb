// The example page in a real Chromium, with a keyboard alone: sign-in, dry run, resync, and every way in which a resync
// can end, in words. In the light on a desktop and in the dark at 390 pixels.
import { chromium } from "playwright-core";

const { SITE, CONTROL, USERNAME, PASSWORD, CHROMIUM, SHOTS } = process.env;
const browser = await chromium.launch({
	timeout: 120_000,
	executablePath: CHROMIUM,
	args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

// control asks the test's own server, which commands the sandbox.
async function control(path, order) {
	const answer = await fetch(CONTROL + path, { method: "POST", body: JSON.stringify(order ?? {}) });
	if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
	return answer.json();
}
const order = (what) => control("/order", what);
// arrived waits until the agent has n calls under way or behind it, since the last "forget".
async function arrived(n) {
	while ((await control("/runs")).runs < n) await new Promise((resolve) => setTimeout(resolve, 20));
}

// contrasts returns the texts whose contrast with what is behind them is below 4.5 (WCAG 2.2, 1.4.3).
const contrasts = () => {
	const rgb = (text) => text.match(/[\d.]+/g).map(Number);
	const luminance = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
	const behind = (e) => {
		for (; e; e = e.parentElement) {
			const color = rgb(getComputedStyle(e).backgroundColor);
			if (color[3] !== 0) return color;
		}
		return [255, 255, 255];
	};
	const low = [];
	for (const e of document.querySelectorAll("body *")) {
		if (!e.checkVisibility() || ![...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim())) continue;
		const [a, b] = [luminance(rgb(getComputedStyle(e).color)), luminance(behind(e))].sort((x, y) => y - x);
		if ((a + 0.05) / (b + 0.05) < 4.5) low.push(`${e.tagName} ${e.textContent}`);
	}
	return low;
};

async function visit(name, options) {
	const found = { errors: [], wide: [], pale: [] };
	const context = await browser.newContext(options);
	context.setDefaultTimeout(120_000); // a busy machine is given the time
	const page = await context.newPage();
	page.on("pageerror", (error) => found.errors.push(String(error)));
	page.on("console", (message) => {
		if (message.type() === "error" && !/Failed to load resource/.test(message.text())) found.errors.push(message.text());
	});
	const result = page.locator("#result");
	const look = async (what) => {
		if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) found.wide.push(what);
		found.pale.push(...await page.evaluate(contrasts));
		if (SHOTS) await page.screenshot({ path: `${SHOTS}/${name}-${what}.png`, fullPage: true });
	};
	const button = (label) => page.getByRole("button", { name: label, exact: true });
	// press goes to a button with the keyboard.
	const press = async (label) => {
		await button(label).focus();
		await page.keyboard.press("Enter");
	};
	// settled waits until the result has the title and returns all of its words.
	const settled = async (...titles) => {
		await page.waitForFunction((any) => any.includes(document.querySelector("#result h2")?.textContent), titles, { timeout: 120_000 }).catch(async () => {
			throw new Error(`${name}: no ${titles} but ${await result.innerText()}`);
		});
		return result.innerText();
	};
	const fill = async (connection, keys) => {
		await page.getByLabel("ERP connection").fill(connection);
		await page.getByLabel("Internal keys").fill(keys);
	};
	const resync = async (connection, keys, ...titles) => {
		await fill(connection, keys);
		await press("Dry run");
		await settled("Dry run: this may be sent");
		await press("Resync");
		return settled(...titles);
	};
	const runs = async () => (await control("/runs")).runs;

	const signIn = async () => {
		await page.getByLabel("User").fill(USERNAME);
		await page.getByLabel("Password").fill(PASSWORD);
		await page.keyboard.press("Enter");
		await page.waitForURL(`${SITE}/?tenant=Cust12345&connection=612&keys=386,230`);
		await button("Dry run").waitFor();
	};
	await page.goto(`${SITE}/?tenant=Cust12345&connection=612&keys=386,230`);
	await page.getByRole("link", { name: "Sign in with SuperOffice" }).waitFor();
	await look("signed-out");
	await page.keyboard.press("Tab");
	await page.keyboard.press("Enter");
	await page.getByLabel("Password").waitFor();
	await signIn();
	found.who = await page.locator("#who").innerText();

	// From the top, by Tab alone.
	found.order = [];
	await page.evaluate(() => document.activeElement?.blur());
	for (let i = 0; i < 5; i++) {
		await page.keyboard.press("Tab");
		found.order.push(await page.evaluate(() => document.activeElement.id));
	}
	await order({ actions: [{ do: "forget" }] });
	await page.keyboard.press("Enter"); // on Resync, before a dry run
	found.early = await settled("Dry run first");
	await page.getByLabel("ERP connection").focus();
	await page.keyboard.press("Enter");
	found.dry = await settled("Dry run: this may be sent");
	found.ranDry = await runs();
	await look("dry-run");
	await press("Resync");
	found.ok = await settled("Resynced");
	found.ranOnce = await runs();
	await look("resynced");

	await fill("612", "386, Uno AS");
	await press("Dry run");
	found.wrong = await settled("Nothing was sent");
	found.wrongFocus = await page.evaluate(() => document.activeElement.id + " " + document.activeElement.getAttribute("aria-invalid"));
	await look("wrong");
	await fill("612", " ");
	await press("Dry run");
	found.none = await settled("Nothing was sent");

	// The company that is open in SuperOffice: its key is found, and resynced.
	const opened = async (contact) => {
		await page.goto(`${SITE}/?tenant=Cust12345&connection=612&contact=${contact}`);
		await press(`Find the key of company ${contact}`);
	};
	await opened(40386);
	found.found = await settled("Found the key");
	found.foundKeys = await page.getByLabel("Internal keys").inputValue();
	await look("found");
	await order({ actions: [{ do: "forget" }] });
	await press("Dry run");
	await settled("Dry run: this may be sent");
	await press("Resync");
	found.foundResynced = await settled("Resynced");
	found.ranFound = await runs();
	await opened(386); // an internal key is no company's id
	found.noKey = await settled("No key");
	await order({ switches: { key_archives: "403" } });
	await opened(40386);
	found.lookupFailed = await settled("The look-up failed");
	found.lookupKeys = await page.getByLabel("Internal keys").inputValue();
	await order({ reset: true });
	await page.goto(`${SITE}/?tenant=Cust12345&connection=612&keys=386,230`);
	await button("Dry run").waitFor();

	found.failed = await resync("613", "386", "The resync failed");
	await look("failed");
	for (const outcome of ["info", "warning", "contradictory", "nulled", "null"]) {
		await order({ switches: { outcome } });
		found[outcome] = await resync("612", "386", "Resynced, with a note", "Resynced, with a warning", "The answer contradicts itself", "SuperOffice answered nothing", "The answer cannot be read");
	}
	await order({ reset: true });
	for (const fault of ["403", "503", "html", "abort"]) {
		await order({ switches: { fault, fault_times: 1, retry_after: "7" } });
		found[`fault ${fault}`] = await resync("612", "386", "SuperOffice answered with an error", "SuperOffice is busy or down", "The answer cannot be read", "Nobody knows whether it ran");
	}

	// The same keys again while a resync of them runs; then others beside two that run: the site lets two in for each connection.
	await order({ reset: true, actions: [{ do: "forget" }] });
	await control("/hold");
	const tab = await context.newPage(); // another tab of the same person
	await tab.goto(page.url());
	const elsewhere = (keys) => tab.evaluate(async (body) => {
		const { xsrf } = await (await fetch("/erpsync/session")).json();
		fetch("/Cust12345/api/v1/Agents/ErpSync/ForceResync", { method: "POST", headers: { "X-XSRF-TOKEN": xsrf, "Content-Type": "application/json" }, body });
	}, JSON.stringify({ ErpConnectionId: 612, InternalKeyIds: keys }));
	await fill("612", "231");
	await press("Dry run");
	await settled("Dry run: this may be sent");
	await elsewhere([231]);
	await arrived(1);
	await press("Resync");
	found.running = await settled("The same resync is running already");
	await look("running");
	await elsewhere([230]);
	await arrived(2);
	await fill("612", "232");
	await press("Dry run");
	found.full = await settled("Too many resyncs are running");
	await control("/release");
	await tab.close();

	// The connection breaks while the resync runs. It is asked about until its answer is there, and runs once.
	await order({ actions: [{ do: "forget" }] });
	await control("/hold");
	let broken = 0;
	await page.route("**/ForceResync", (route) => {
		if (route.request().headers()["erpsync-dry-run"] || broken++) return route.continue();
		route.fetch({ timeout: 0 }).catch(() => {});
		return arrived(1).then(() => route.abort());
	});
	found.again = await resync("612", "386 230", "Still running");
	await look("asking");
	await control("/release");
	found.answer = await settled("Resynced");
	found.ranAgain = await runs();
	await page.unroute("**/ForceResync");

	// The page is loaded again while the resync runs.
	await order({ actions: [{ do: "forget" }] });
	await control("/hold");
	await resync("612", "386", "Resyncing");
	await arrived(1);
	await page.reload();
	await settled("Still running");
	await control("/release");
	found.reloaded = await settled("Resynced");
	found.ranReloaded = await runs();

	// SuperID gives no new token.
	await order({ switches: { token_error: "500", token_error_at: "refresh" }, actions: [{ do: "expire", kind: "access" }] });
	found.unavailable = await resync("612", "386", "Not available now");
	await look("unavailable");
	await order({ reset: true });

	// The session ends, and the person comes back.
	await context.clearCookies({ name: "__Host-erpsync" });
	await press("Dry run");
	found.ended = await settled("Your session has ended");
	await look("ended");
	found.endedFocus = await page.evaluate(() => document.activeElement.id);
	await page.keyboard.press("Enter");
	await page.getByLabel("Password").waitFor();
	await signIn();
	await press("Sign out");
	found.signedOut = await settled("Signed out");
	found.superid = await page.getByRole("link", { name: "Sign out of SuperOffice too" }).getAttribute("href");
	found.after = await page.evaluate(async () => (await fetch("/erpsync/session")).status);
	await context.close();
	return found;
}

const found = {};
try {
	found.light = await visit("light", { viewport: { width: 1280, height: 800 }, colorScheme: "light" });
	found.dark = await visit("dark", { viewport: { width: 390, height: 844 }, colorScheme: "dark" });
} finally {
	await browser.close();
}
console.log(JSON.stringify(found));
