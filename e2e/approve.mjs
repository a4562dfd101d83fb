// People follow the link for a customer's administrator in a real Chromium: one who
// administers nothing, one who declines, and one who approves.
import { chromium } from "playwright-core";

const { SITE, APP, TENANT, PERSON, PERSON_PASSWORD, ADMIN, ADMIN_PASSWORD, CHROMIUM, SHOTS } = process.env;
const browser = await chromium.launch({
	timeout: 120_000,
	executablePath: CHROMIUM,
	args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const found = { urls: [], violations: [] };

async function follow(name, username, password, decide) {
	const context = await browser.newContext();
	context.setDefaultTimeout(120_000); // a busy machine is given the time
	const page = await context.newPage();
	page.on("framenavigated", (frame) => found.urls.push(frame.url()));
	page.on("console", (message) => message.type() === "error" && found.violations.push(message.text()));
	await page.goto(`${SITE}/erpsync/approve?app=${APP}&tenant=${TENANT}`);
	await page.fill("input[name=username]", username);
	await page.fill("input[name=password]", password);
	await page.click("button[value=sign-in]");
	if (decide) await page.click(`button[value=${decide}]`);
	await page.waitForURL(`${SITE}/erpsync/approval`);
	found[name] = { title: await page.title(), text: await page.innerText("body"), cookies: (await context.cookies(SITE.replace("http:", "https:"))).map((c) => c.name), html: await page.content() };
	if (SHOTS) await page.screenshot({ path: `${SHOTS}/${name}.png` });
	const again = await page.reload();
	found[name].reloaded = [again.status(), await page.title()];
	await context.close();
}

try {
	await follow("person", PERSON, PERSON_PASSWORD);
	await follow("declines", ADMIN, ADMIN_PASSWORD, "decline");
	await follow("approves", ADMIN, ADMIN_PASSWORD, "approve");
} finally {
	await browser.close();
}
console.log(JSON.stringify(found));
