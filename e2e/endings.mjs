// People walk into every ending of a sign-in and of an approval in a real Chromium. Each page is looked at in light and dark and at
// 360 px: it fits, can be read, can be used by keyboard, and leads on. With SHOTS it is drawn as well.
import { createServer } from "node:http";
import { chromium } from "playwright-core";

const { SITE, SO, CONTROL, USERS, EXPIRED, CHROMIUM, SHOTS } = process.env;
const users = JSON.parse(USERS);
const browser = await chromium.launch({
	timeout: 120_000,
	executablePath: CHROMIUM,
	args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const found = {};
const outer = createServer((_, res) => res.setHeader("Content-Type", "text/html").end(`<!doctype html><title>outer</title><iframe name="inner" style="width: 96vw; height: 90vh" src="${SITE}/erpsync/sign-in?tenant=Cust12345"></iframe>`)).listen(0, "127.0.0.1");
await new Promise((resolve) => outer.once("listening", resolve));

const behave = (switches) => fetch(`${CONTROL}?${new URLSearchParams(switches)}`);
async function fill(page, user) {
	await page.fill("input[name=username]", user.upn);
	await page.fill("input[name=password]", user.password);
	await page.click("button[value=sign-in]");
}
const state = (page) => new URL(page.url()).searchParams.get("state");

// contrast is the least ratio of text to ground, as WCAG 2 counts it.
const contrast = () => {
	const channels = (color) => color.match(/[\d.]+/g).map(Number);
	const light = ([r, g, b]) => [r, g, b].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
	const ground = (e) => {
		for (; e; e = e.parentElement) {
			const c = channels(getComputedStyle(e).backgroundColor);
			if (c.length < 4 || c[3] > 0) return c;
		}
		return [255, 255, 255];
	};
	return Math.min(...[...document.querySelectorAll("h1, p, a, footer")].map((e) => {
		const [a, b] = [light(channels(getComputedStyle(e).color)), light(ground(e))];
		return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
	}));
};

async function look(name, page, answer, frame = page) {
	const seen = { title: await frame.title(), h1: await frame.innerText("h1"), lang: await frame.getAttribute("html", "lang"), button: await frame.innerText("a.button"), links: await frame.$$eval("nav a", (all) => all.map((a) => a.href)), contrast: {}, wide: {} };
	if (answer) Object.assign(seen, { status: answer.status(), type: answer.headers()["content-type"], id: answer.headers()["erpsync-request-id"] });
	for (const scheme of ["light", "dark"]) {
		await page.emulateMedia({ colorScheme: scheme });
		seen.contrast[scheme] = await frame.evaluate(contrast);
		for (const width of [1000, 390, 360]) {
			await page.setViewportSize({ width, height: 720 });
			seen.wide[width] = await frame.evaluate(() => document.documentElement.scrollWidth > innerWidth || [...document.querySelectorAll("h1, p, a, footer")].some((e) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline"));
			if (SHOTS && width !== 360) await page.screenshot({ path: `${SHOTS}/${name}-${scheme}-${width}.png` });
		}
	}
	await page.setViewportSize({ width: 1000, height: 720 });
	if (frame === page) await page.keyboard.press("Tab");
	seen.focused = await frame.evaluate(() => document.activeElement?.className === "button" && getComputedStyle(document.activeElement).outlineStyle !== "none");
	found[name] = seen;
}

// ending walks somewhere with a browser of its own, looks, and follows the button.
async function ending(name, walk, language = "en-GB") {
	const context = await browser.newContext({ locale: language });
	context.setDefaultTimeout(120_000); // a busy machine is given the time
	const page = await context.newPage();
	const problems = [];
	let answer;
	page.on("console", (message) => /Content Security Policy|Refused to/.test(message.text()) && problems.push(message.text()));
	page.on("response", (response) => response.url().startsWith(SITE) && response.request().isNavigationRequest() && response.status() !== 303 && (answer = response));
	try {
		const frame = (await walk(page, context)) ?? page;
		await frame.waitForSelector("h1");
		await look(name, page, answer, frame);
		const opened = frame === page ? null : page.waitForEvent("popup");
		await frame.press("a.button", "Enter");
		const next = opened ? await opened : page;
		await next.waitForLoadState();
		found[name].next = next.url().replace(SITE, "").replace(SO, "SuperID").replace(/\?.*/, "");
		found[name].problems = problems;
	} catch (error) {
		throw new Error(`${name}: ${page.url()}: ${error.message}`);
	} finally {
		await context.close();
		await behave({ token_error: "none" });
	}
}

const signIn = `${SITE}/erpsync/sign-in?tenant=Cust12345&return=/wanted`;
const answered = async (page, answer) => {
	await page.goto(signIn);
	await page.goto(`${SITE}/erpsync/callback?${new URLSearchParams({ ...answer, state: state(page) })}`);
};
const failing = (error) => async (page) => {
	await behave({ token_error: error });
	await page.goto(signIn);
	await fill(page, users.person);
};
try {
	const declined = async (page) => {
		await page.goto(signIn);
		await page.click("button[value=decline]");
	};
	await ending("declined", declined);
	for (const language of ["nb-NO", "nn-NO", "da", "sv", "de", "nl", "fr"]) await ending(`declined-${language}`, declined, language);
	await ending("expired", async (page, context) => {
		const [name, value] = EXPIRED.split("=");
		await context.addCookies([{ name, value, url: SITE.replace("http:", "https:"), secure: true, httpOnly: true, sameSite: "None" }]);
		await page.goto(`${SITE}/erpsync/callback?code=x&state=expired`);
	});
	await ending("started-twice", async (page) => {
		await page.goto(signIn);
		const began = state(page);
		await fill(page, users.person);
		await page.waitForURL(`${SITE}/wanted`);
		await page.goto(`${SITE}/erpsync/callback?code=x&state=${began}`);
	});
	await ending("another-browser", (page) => page.goto(`${SITE}/erpsync/callback?code=x&state=y`).then(() => page));
	await ending("wrong-tenant", async (page) => {
		await page.goto(`${SITE}/erpsync/sign-in?tenant=Cust99999`);
		await fill(page, users.person);
	});
	await ending("not-granted", async (page) => {
		await page.goto(`${SITE}/erpsync/sign-in?tenant=Cust20001&return=/wanted`);
		await fill(page, users.stranger);
	});
	await ending("suspended", async (page) => {
		await page.goto(`${SITE}/erpsync/sign-in?tenant=Cust54321&return=/wanted`);
		await fill(page, users.suspended);
	});
	await ending("provider-down", failing("500"));
	await ending("misconfigured", failing("invalid_client"));
	await ending("failed", failing("invalid_grant"));
	await ending("consent-missing", (page) => answered(page, { error: "consent_required" }));
	await ending("return-refused", (page) => page.goto(`${SITE}/erpsync/sign-in?return=https://evil.example/`).then(() => page));
	await ending("link-wrong", (page) => page.goto(`${SITE}/erpsync/sign-in?tenant=x`).then(() => page));
	await ending("not-found", (page) => page.goto(`${SITE}/erpsync/nothing`).then(() => page));
	await ending("a-call", (page) => page.goto(`${SITE}/Cust12345/api/v1/Agents/ErpSync/ForceResync`).then(() => page));
	await ending("nobody-signed-in", (page) => page.goto(`${SITE}/erpsync/session`).then(() => page));
	await ending("session", async (page) => {
		await page.goto(`${SITE}/erpsync/sign-in?tenant=Cust12345&return=/erpsync/session`);
		await fill(page, users.person);
	});
	await ending("framed", async (page) => {
		await page.goto(`http://127.0.0.1:${outer.address().port}/`);
		return page.frame("inner");
	});
	await ending("approval-link", (page) => page.goto(`${SITE}/erpsync/approve?app=nobody`).then(() => page));
	await ending("approval-another-browser", (page) => page.goto(`${SITE}/erpsync/approval`).then(() => page));
	await ending("approval-declined", async (page) => {
		await page.goto(`${SITE}/erpsync/approve?app=erp&tenant=Cust12345`);
		await page.click("button[value=decline]");
	});
	await ending("approval-no-administrator", async (page) => {
		await page.goto(`${SITE}/erpsync/approve?app=erp&tenant=Cust12345`);
		await fill(page, users.person);
	}, "de");
	await ending("approved", async (page) => {
		await page.goto(`${SITE}/erpsync/approve?app=erp&tenant=Cust12345`);
		await fill(page, users.admin);
		await page.click("button[value=approve]");
	});
} finally {
	outer.close();
	await browser.close();
}
console.log(JSON.stringify(found));
