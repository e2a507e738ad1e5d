import react from "@vitejs/plugin-react";
import { defineConfig, loadEnv, type Plugin } from "vite";
import { securityHeaders } from "./security-headers.ts";

// Where `scripts/dev` has the functions and the stand-in for Clerk.
const api = process.env.PANEL_API_URL ?? "http://127.0.0.1:9000";
const emulator = process.env.PANEL_EMULATOR_URL ?? "http://127.0.0.1:4810";
const proxy = {
  "/api/": api,
  "/.netlify/": api,
  "/_emulator/": emulator,
};

// What an older version of the panel asks for is gone: the page in its place would be no script.
const REDIRECTS = `/ /admin/users 302
/admin/assets/* /404.html 404
/admin/* /index.html 200
`;

const NOT_FOUND = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Nothing here</title>
  </head>
  <body>
    <h1>Nothing here</h1>
    <p>There is no such page. <a href="/admin/users">To the users</a></p>
  </body>
</html>
`;

/** What Netlify reads beside the files: the headers, and that all of /admin is one page. */
function netlifyFiles(headers: Record<string, string>): Plugin {
  const lines = Object.entries(headers).map(([name, value]) => `  ${name}: ${value}`);
  const source = [
    "/*",
    ...lines,
    "/admin/assets/*",
    "  Cache-Control: public, max-age=31536000, immutable",
    "",
  ];
  return {
    name: "netlify-files",
    generateBundle() {
      this.emitFile({ type: "asset", fileName: "_headers", source: source.join("\n") });
      this.emitFile({ type: "asset", fileName: "_redirects", source: REDIRECTS });
      this.emitFile({ type: "asset", fileName: "404.html", source: NOT_FOUND });
    },
  };
}

export default defineConfig(({ mode }) => {
  const headers = securityHeaders(loadEnv(mode, ".").VITE_CLERK_PUBLISHABLE_KEY);
  return {
    plugins: [react(), netlifyFiles(headers)],
    // Everything but the page itself lies under /admin, beside whatever else the host serves.
    build: {
      assetsDir: "admin/assets",
      target: "baseline-widely-available",
      modulePreload: { polyfill: false },
    },
    server: { proxy },
    preview: { proxy, headers },
  };
});
