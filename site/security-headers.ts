// The headers that the panel is served with: by Netlify (dist/_headers), and by `vite preview`.

/** Whoever holds a publishable key can read the host of Clerk's Frontend API out of it. */
export function frontendApi(publishableKey: string): string {
  const [, , encoded] = publishableKey.split("_");
  const host = encoded === undefined ? "" : Buffer.from(encoded, "base64").toString("utf8");
  if (!/^[a-z0-9.-]+\$$/i.test(host)) {
    throw new Error(
      "VITE_CLERK_PUBLISHABLE_KEY is no publishable key: it begins with pk_test_ or pk_live_.",
    );
  }
  return `https://${host.slice(0, -1)}`;
}

/**
 * The policy allows what the panel does and nothing else. Clerk's own script comes from its Frontend
 * API, and asks nobody else; without a publishable key there is none.
 */
export function securityHeaders(publishableKey: string | undefined): Record<string, string> {
  const clerk = publishableKey ? [frontendApi(publishableKey)] : [];
  const policy = {
    "default-src": ["'none'"],
    "script-src": ["'self'", ...clerk],
    "style-src": ["'self'"],
    "img-src": ["'self'", ...(publishableKey ? ["https://img.clerk.com"] : [])],
    "connect-src": ["'self'", ...clerk],
    "worker-src": ["'self'", ...(publishableKey ? ["blob:"] : [])],
    "base-uri": ["'none'"],
    "form-action": ["'self'"],
    "frame-ancestors": ["'none'"],
  };
  const directives = Object.entries(policy).map(([name, sources]) => [name, ...sources].join(" "));
  return {
    "Content-Security-Policy": directives.join("; "),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Strict-Transport-Security": "max-age=63072000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
  };
}
