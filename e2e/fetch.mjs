// docs/examples/clients/fetch.js in a real Chromium.
import { chromium } from "playwright-core";

const { SITE, USERNAME, PASSWORD, CHROMIUM } = process.env;
const browser = await chromium.launch({
	timeout: 120_000,
	executablePath: CHROMIUM,
	args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const found = {};
try {
	const page = await browser.newPage();
	page.setDefaultTimeout(120_000); // a busy machine is given the time
	await page.goto(`${SITE}/erpsync/sign-in?tenant=Cust12345&return=/fetch.js`);
	await page.fill("input[name=username]", USERNAME);
	await page.fill("input[name=password]", PASSWORD);
	await page.click("text=Sign in >> nth=-1");
	await page.waitForURL(`${SITE}/fetch.js`);
	found.ok = await page.evaluate(async () => (await import("/fetch.js")).resync(612, [386]));
} finally {
	await browser.close();
}
console.log(JSON.stringify(found));
