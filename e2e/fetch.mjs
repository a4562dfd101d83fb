// docs/examples/clients/fetch.js in a real Chromium.
import { chromium } from "playwright-core";

const { SITE, USERNAME, PASSWORD, CHROMIUM } = process.env;
const browser = await chromium.launch({
	executablePath: CHROMIUM,
	args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const found = {};
try {
	const page = await browser.newPage();
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
