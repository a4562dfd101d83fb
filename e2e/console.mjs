// From a customer's question to the story of their call, in a real Chromium with the keyboard alone; and axe-core on each page.
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";

const { CONSOLE, CHROMIUM } = process.env;
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({
	timeout: 120_000,
	executablePath: CHROMIUM,
	args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const found = { errors: [], violations: [], overflow: [], foreign: [] };
try {
	const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
	context.setDefaultTimeout(120_000); // a busy machine is given the time
	const page = await context.newPage();
	const watch = (page) => {
		page.on("pageerror", (error) => found.errors.push(String(error)));
		page.on("console", (message) => { if (message.type() === "error") found.errors.push(message.text()); });
		page.on("request", (request) => { if (!request.url().startsWith(CONSOLE)) found.foreign.push(request.url()); });
	};
	watch(page);
	await page.goto(CONSOLE + "/");
	await page.keyboard.press("/");
	await page.keyboard.type("uno");
	await page.keyboard.press("Enter");
	const customer = page.getByRole("link", { name: "Uno AS" }).first();
	await customer.focus();
	await page.keyboard.press("Enter");
	await page.getByRole("heading", { name: "Uno AS" }).waitFor();
	found.answer = await page.locator(".answer").innerText();
	found.time = await page.locator("time").first().evaluate((time) => [time.textContent, time.title]);
	await page.getByRole("link", { name: "Failed, and said why" }).first().focus();
	await page.keyboard.press("Enter");
	await page.getByRole("heading", { name: "What happened" }).waitFor();
	found.story = await page.locator(".story").innerText();
	found.said = await page.locator("blockquote").first().innerText();
	const call = new URL(page.url()).pathname;

	// The overview follows: a page in a frame of another site would show nothing.
	await page.goto(CONSOLE + "/");
	await page.waitForFunction(() => document.getElementById("live-switch")?.dataset.state === "Live");
	found.live = true;

	// axe looks in a context that may run its script, whatever the pages' own policy: bypassCSP is for axe alone.
	for (const [scheme, width] of [["light", 1440], ["dark", 390]]) {
		const looking = await browser.newContext({ bypassCSP: true, colorScheme: scheme, viewport: { width, height: 844 } });
		looking.setDefaultTimeout(120_000);
		const page = await looking.newPage();
		for (const path of ["/", "/failures", "/calls", "/tenants/Cust12345", call, "/search?q=386", "/report", "/configuration", "/nowhere"]) {
			await page.goto(CONSOLE + path);
			await page.evaluate(axe);
			const result = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
			for (const violation of result.violations) found.violations.push([path, scheme, violation.id, violation.nodes[0].html.slice(0, 200), violation.nodes[0].failureSummary]);
			found.checked = (found.checked ?? 0) + result.passes.length;
			if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) found.overflow.push([path, width]);
		}
		await looking.close();
	}
} finally {
	await browser.close();
}
console.log(JSON.stringify(found));
