// The address that the demo prints, in a real Chromium: sign-in, dry run, resync.
import { chromium } from "playwright-core";

const { ADDRESS, USERNAME, PASSWORD, CHROMIUM } = process.env;
const browser = await chromium.launch({
	timeout: 120_000,
	executablePath: CHROMIUM,
	args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const found = { errors: [] };
try {
	const page = await browser.newPage();
	page.setDefaultTimeout(120_000); // a busy machine is given the time
	page.on("pageerror", (error) => found.errors.push(String(error)));
	await page.goto(ADDRESS);
	await page.getByRole("link", { name: "Sign in with SuperOffice" }).click();
	await page.getByLabel("User").fill(USERNAME);
	await page.getByLabel("Password").fill(PASSWORD);
	const landed = page.waitForResponse((response) => response.url() === ADDRESS);
	await page.keyboard.press("Enter");
	found.status = (await landed).status();
	await page.getByRole("button", { name: "Dry run" }).click();
	await page.getByRole("heading", { name: "Dry run: this may be sent" }).waitFor();
	await page.getByRole("button", { name: "Resync" }).click();
	await page.getByRole("heading", { name: "Resynced" }).waitFor();
	found.result = await page.locator("#result").innerText();
	found.address = page.url();
} finally {
	await browser.close();
}
console.log(JSON.stringify(found));
