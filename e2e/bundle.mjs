// Writes the vendor's client as one script for a page.
import { build } from "esbuild";

await build({
	stdin: { contents: 'import * as SuperOffice from "@superoffice/webapi"; window.SuperOffice = SuperOffice;', resolveDir: process.cwd() },
	bundle: true, format: "iife", platform: "browser", outfile: process.argv[2], logLevel: "error",
});
