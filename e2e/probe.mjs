// An administrator follows the address of a probe in a real Chromium, signs in twice, and reports what they see.
import { chromium } from "playwright-core";

const { ADDRESS, USERNAME, PASSWORD, CHROMIUM, SHOTS } = process.env;
const browser = await chromium.launch({
	timeout: 120_000,
	executablePath: CHROMIUM,
	args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const found = { violations: [] };
try {
	const context = await browser.newContext();
	context.setDefaultTimeout(120_000); // a busy machine is given the time
	const page = await context.newPage();
	page.on("console", (message) => message.type() === "error" && found.violations.push(message.text()));
	await page.goto(ADDRESS);
	found.invitation = await page.innerText("body");
	if (SHOTS) await page.screenshot({ path: `${SHOTS}/probe.png` });
	await page.click("a.button");
	for (let i = 0; i < 2; i++) {
		await page.fill("input[name=username]", USERNAME);
		await page.fill("input[name=password]", PASSWORD);
		await Promise.all([page.waitForNavigation(), page.click("button[value=sign-in]")]);
	}
	found.end = await page.innerText("body");
	found.cookies = (await context.cookies(new URL(ADDRESS).origin.replace("http:", "https:"))).map((c) => c.name);
	await page.goto(ADDRESS);
	found.again = await page.innerText("body");
} finally {
	await browser.close();
}
console.log(JSON.stringify(found));
