// How the panel asks the functions: one way in, one kind of error.

/** How long an answer may take: the functions have less. */
const TIMEOUT_MS = 60_000;

/** Why something was not done, in a sentence for people. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  /** The status of the answer; 0 if there was none. */
  readonly status: number;
  /** The server's word for programs; `unreachable`, `unreadable` and `not_sent` are the panel's own. */
  readonly code: string;
  /** Finds the line in the log. */
  readonly requestId: string | undefined;
  /** The whole answer, for what else it says. */
  readonly body: Record<string, unknown>;

  constructor(status: number, body: Record<string, unknown>) {
    super(text(body.error) ?? `The server answered ${status}.`);
    this.status = status;
    this.code = text(body.code) ?? "unreadable";
    this.requestId = text(body.requestId);
    this.body = body;
  }
}

/** Where tokens come from. */
export interface TokenSource {
  /** A session token that is good now; `isFresh`: one that was not used before. */
  token(isFresh?: boolean): Promise<string>;
}

export type Query = Record<string, string | number | boolean | null | undefined>;

interface Call {
  query?: Query | undefined;
  body?: unknown;
  signal?: AbortSignal | undefined;
}

type Method = "GET" | "POST" | "PATCH" | "DELETE";

/** The functions, as the one who is signed in may call them. */
export class Api {
  readonly #tokens: TokenSource;

  constructor(tokens: TokenSource) {
    this.#tokens = tokens;
  }

  get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> {
    return this.#call("GET", path, { query, signal });
  }

  post<T>(path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
    return this.#call("POST", path, { body, signal });
  }

  patch<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
    return this.#call("PATCH", path, { body, signal });
  }

  delete<T>(path: string): Promise<T> {
    return this.#call("DELETE", path, {});
  }

  async #call<T>(method: Method, path: string, call: Call): Promise<T> {
    const response = await this.#send(method, path, call, false);
    if (response.status !== 401) return read(response);
    // The token may have run out on its way; a second refusal stands.
    return read(await this.#send(method, path, call, true));
  }

  async #send(method: Method, path: string, call: Call, isFresh: boolean): Promise<Response> {
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    const headers: Record<string, string> = {
      authorization: `Bearer ${await this.#tokens.token(isFresh).catch(notSent)}`,
    };
    if (call.body !== undefined) headers["content-type"] = "application/json";
    try {
      return await fetch(path + search(call.query), {
        method,
        headers,
        body: call.body === undefined ? null : JSON.stringify(call.body),
        signal: call.signal ? AbortSignal.any([call.signal, timeout]) : timeout,
      });
    } catch (error) {
      if (call.signal?.aborted) throw error;
      throw unreachable();
    }
  }
}

/** Nobody knows what became of a change: Clerk gave no answer, or we got none that can be read. */
export function isOutcomeUnknown(error: unknown): boolean {
  if (!(error instanceof ApiError)) return false;
  const hasNoAnswer = error.code === "unreachable" || error.code === "unreadable";
  return hasNoAnswer || error.body.outcome === "unknown";
}

export function unreachable(): ApiError {
  return new ApiError(0, {
    code: "unreachable",
    error: "The server could not be reached. Look at your connection, then try again.",
  });
}

/** Without a token, such as while there is no connection to Clerk, nothing is asked. */
function notSent(error: unknown): never {
  if (error instanceof ApiError) throw error;
  throw new ApiError(0, {
    code: "not_sent",
    error:
      "Clerk could not confirm that you are signed in, so nothing was sent. Look at your connection, then try again.",
  });
}

function search(query: Query | undefined): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") parameters.set(name, String(value));
  }
  return parameters.size === 0 ? "" : `?${parameters}`;
}

async function read<T>(response: Response): Promise<T> {
  const body: unknown = await response.json().catch(() => undefined);
  if (response.ok && body !== undefined) return body as T;
  throw new ApiError(response.status, isRecord(body) ? body : {});
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
